//! What people choose for themselves.

use std::sync::Arc;

use async_graphql::{InputObject, Object};

use super::post::ContactPolicy;
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

impl From<SettingsInput> for SettingsChange {
    fn from(input: SettingsInput) -> Self {
        Self { messages_from: input.messages_from.map(Into::into) }
    }
}
