//! What people choose for themselves.

use std::sync::Arc;

use crate::domain::Domain;
use crate::domain::viewer::Viewer;
use crate::model::contact::ContactPolicy;
use crate::model::{Error, Result};
use crate::store::user;

/// What is to be changed; what is not mentioned stays as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct SettingsChange {
    /// Who may begin to write to one.
    pub messages_from: Option<ContactPolicy>,
}

impl Domain {
    /// Changes the settings that are mentioned; the viewer's row as it is then.
    pub async fn update_settings(&self, viewer: &Viewer, change: SettingsChange) -> Result<Arc<user::Model>> {
        let id = viewer.user;
        self.write(id, id.slot(), |tx| async move {
            let mut user = user::lock(&tx, id).await?.ok_or(Error::Unauthenticated)?;
            if let Some(policy) = change.messages_from {
                user.messages_from = policy as i16;
            }
            user::update_settings(&tx, &user).await?;
            Ok(Arc::new(user))
        })
        .await
    }
}
