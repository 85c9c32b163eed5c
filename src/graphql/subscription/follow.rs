//! Who begins to follow the viewer.

use std::sync::Arc;

use async_graphql::{Context, Result, SimpleObject, Subscription};
use futures_util::Stream;
use time::OffsetDateTime;

use super::{Event, Head, events, log};
use crate::graphql::context::ContextExt;
use crate::graphql::follow::FollowState;
use crate::graphql::scalar::{Cursor, DateTime};
use crate::graphql::user::User;
use crate::live::Topic;
use crate::model::stream::LogTopic;
use crate::store::user;

/// Somebody began to follow the viewer.
#[derive(SimpleObject)]
pub struct FollowEvent {
    pub cursor: Cursor,
    pub replayed: bool,
    pub at: DateTime,
    user: User,
    /// Of the user towards the viewer, when this is told.
    state: FollowState,
}

#[derive(Default)]
pub struct FollowSubscription;

#[Subscription]
impl FollowSubscription {
    /// Who begins to follow the viewer.
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

pub fn event(head: Head, user: Arc<user::Model>, follows: bool, at: OffsetDateTime) -> Event {
    let Head { cursor, replayed } = head;
    let state = if follows { FollowState::Following } else { FollowState::None };
    Event::Follow(FollowEvent { cursor, replayed, at: at.into(), user: user.into(), state })
}
