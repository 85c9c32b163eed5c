//! What the viewer is notified of.

use async_graphql::{ComplexObject, Context, Result, SimpleObject};
use time::OffsetDateTime;

use super::head::Head;
use crate::domain::notification_list::Shown;
use crate::graphql::context::ContextExt;
use crate::graphql::notification::Notification;
use crate::graphql::scalar::{Cursor, DateTime};

#[derive(SimpleObject)]
#[graphql(complex)]
pub struct NotificationEvent {
    pub cursor: Cursor,
    pub replayed: bool,
    pub at: DateTime,
    /// The notification in its newest state.
    notification: Notification,
}

#[ComplexObject]
impl NotificationEvent {
    /// How many of the viewer's notifications are unread now.
    async fn unread_count(&self, ctx: &Context<'_>) -> Result<i32> {
        Ok(ctx.domain().unread_notifications(ctx.require_viewer()?).await?)
    }
}

impl NotificationEvent {
    pub fn new(head: Head, shown: Shown, at: OffsetDateTime) -> Self {
        let Head { cursor, replayed } = head;
        Self { cursor, replayed, at: at.into(), notification: shown.into() }
    }
}
