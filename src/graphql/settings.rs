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

/// The viewer's settings.
#[Object]
impl Settings {
    /// Who may start a conversation with the viewer. A user to whom the viewer has written may always reply.
    async fn messages_from(&self) -> ContactPolicy {
        contact::ContactPolicy::from_row(self.row.messages_from).into()
    }
}

/// Fields that are left out or null stay unchanged.
#[derive(InputObject)]
pub struct SettingsInput {
    messages_from: Option<ContactPolicy>,
}

impl From<SettingsInput> for SettingsChange {
    fn from(input: SettingsInput) -> Self {
        Self { messages_from: input.messages_from.map(Into::into) }
    }
}
