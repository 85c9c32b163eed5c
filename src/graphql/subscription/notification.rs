//! What the viewer is notified of.

use async_graphql::{ComplexObject, Context, Result, SimpleObject, Subscription};
use futures_util::Stream;
use time::OffsetDateTime;

use super::{Event, Head, events, log};
use crate::domain::notification_list::Shown;
use crate::graphql::context::ContextExt;
use crate::graphql::notification::Notification;
use crate::graphql::scalar::{Cursor, DateTime};
use crate::live::Topic;
use crate::model::stream::LogTopic;

#[derive(SimpleObject)]
#[graphql(complex)]
pub struct NotificationEvent {
    pub cursor: Cursor,
    pub replayed: bool,
    pub at: DateTime,
    /// In its newest state.
    notification: Notification,
}

#[ComplexObject]
impl NotificationEvent {
    /// Of all the viewer's notifications, now.
    async fn unread_count(&self, ctx: &Context<'_>) -> Result<i32> {
        Ok(ctx.domain().unread_notifications(ctx.require_viewer()?).await?)
    }
}

#[derive(Default)]
pub struct NotificationSubscription;

#[Subscription]
impl NotificationSubscription {
    /// The viewer's notifications, new ones and those that somebody was added to.
    async fn new_notification(
        &self,
        ctx: &Context<'_>,
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Result<Event>> + use<>> {
        let viewer = ctx.require_viewer()?.clone();
        let topic = Topic::Receiver(viewer.user);
        let reader = log::reader(ctx.domain().clone(), viewer, vec![LogTopic::Notification]);
        events(ctx, topic, after, reader, |head, logged, _| log::event(head, logged)).await
    }
}

pub fn event(head: Head, shown: Shown, at: OffsetDateTime) -> Event {
    let Head { cursor, replayed } = head;
    Event::Notification(NotificationEvent { cursor, replayed, at: at.into(), notification: shown.into() })
}
