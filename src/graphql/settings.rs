//! What people choose for themselves.

use std::sync::Arc;

use async_graphql::{Context, InputObject, Object, SimpleObject};

use super::context::ContextExt;
use super::nullable::{Nullable, nullable};
use super::post::ContactPolicy;
use super::viewer::Viewer;
use crate::domain::account::SettingsChange;
use crate::model::contact;
use crate::store::user;

pub struct Settings {
    pub row: Arc<user::Model>,
}

/// What the viewer has chosen.
#[Object]
impl Settings {
    /// who may begin to write to the viewer; whoever was written to may answer
    async fn messages_from(&self) -> ContactPolicy {
        contact::ContactPolicy::from_row(self.row.messages_from).into()
    }
}

/// A field that is left out, or null, stays as it is.
#[derive(InputObject)]
pub struct SettingsInput {
    messages_from: Option<ContactPolicy>,
}

#[derive(SimpleObject)]
pub struct ViewerPayload {
    viewer: Viewer,
}

#[derive(Default)]
pub struct SettingsMutation;

#[Object]
impl SettingsMutation {
    async fn update_settings(&self, ctx: &Context<'_>, input: SettingsInput) -> Nullable<ViewerPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let change = SettingsChange { messages_from: input.messages_from.map(Into::into) };
            let row = ctx.domain().update_settings(viewer, change).await?;
            Ok(Some(ViewerPayload { viewer: Viewer::with(viewer.clone(), row) }))
        })
        .await
    }
}
