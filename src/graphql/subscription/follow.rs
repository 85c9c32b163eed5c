//! Who begins to follow the viewer, or asks to.

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
pub struct FollowSubscription;

#[Subscription]
impl FollowSubscription {
    /// New followers of the viewer, and those who ask to be.
    async fn user_followed(
        &self,
        ctx: &Context<'_>,
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Result<Event>> + use<>> {
        let viewer = ctx.require_viewer()?.clone();
        let topic = Topic::Receiver(viewer.user);
        let reader = log::reader(ctx.domain().clone(), viewer, vec![LogTopic::Follow]);
        events(ctx, topic, after, reader, |head, logged, _| log::event(head, logged)).await
    }
}
