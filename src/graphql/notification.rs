//! Notifications.

use async_graphql::{ID, Object};

use crate::domain::id::NotificationId;

/// A notification.
pub struct Notification {
    id: NotificationId,
}

impl Notification {
    pub fn with_id(id: NotificationId) -> Self {
        Self { id }
    }
}

#[Object]
impl Notification {
    async fn id(&self) -> ID {
        self.id.uuid().into()
    }
}
