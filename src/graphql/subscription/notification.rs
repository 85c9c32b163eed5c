//! What the viewer is notified of.

use async_graphql::{ComplexObject, Context, Result, SimpleObject, Subscription};
use futures_util::Stream;

use super::{Event, events};
use crate::domain::Error;
use crate::domain::id::NotificationId;
use crate::graphql::context::ContextExt;
use crate::graphql::notification::{self, Notification};
use crate::graphql::scalar::{Cursor, DateTime};
use crate::live::Topic;
use crate::store::stream::LogRow;

#[derive(SimpleObject)]
#[graphql(complex)]
pub struct NotificationEvent {
    pub cursor: Cursor,
    pub replayed: bool,
    pub at: DateTime,
    #[graphql(skip)]
    id: NotificationId,
}

#[ComplexObject]
impl NotificationEvent {
    /// In its newest state.
    async fn notification(&self, ctx: &Context<'_>) -> Result<Notification> {
        Ok(notification::load(ctx, self.id).await?.ok_or(Error::NotFound("notification"))?)
    }

    /// Of all the viewer's notifications, now.
    async fn unread_count(&self, ctx: &Context<'_>) -> Result<i32> {
        Ok(ctx.domain().unread_notifications(ctx.require_viewer()?.user).await?)
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
        let user = ctx.require_viewer()?.user;
        events(ctx, Topic::Receiver(user), after, || async { Ok(()) }).await
    }
}

pub fn event(cursor: Cursor, replayed: bool, row: &LogRow) -> Event {
    let id = NotificationId::from_row(row.ref_id);
    Event::Notification(NotificationEvent { cursor, replayed, at: row.at.into(), id })
}
