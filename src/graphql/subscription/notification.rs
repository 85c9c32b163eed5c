//! What the viewer is notified of.

use async_graphql::{Context, Result, Subscription};
use futures_util::Stream;

use super::event::Event;
use super::events::events;
use super::log;
use crate::graphql::context::ContextExt;
use crate::graphql::scalar::Cursor;
use crate::live::Topic;
use crate::model::stream::LogTopic;

#[derive(Default)]
pub struct NotificationSubscription;

#[Subscription]
impl NotificationSubscription {
    /// The viewer's notifications: new ones, and those with a new actor.
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
