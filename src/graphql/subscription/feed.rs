//! What becomes of the viewer's feed.

use async_graphql::{ComplexObject, Context, ID, Result, SimpleObject, Subscription};
use futures_util::Stream;
use time::OffsetDateTime;

use super::{Event, Head, events};
use crate::graphql::context::ContextExt;
use crate::graphql::nullable::{Nullable, nullable};
use crate::graphql::post::{self, Post};
use crate::graphql::scalar::{Cursor, DateTime};
use crate::live::{Change, Delivery, Ready, Topic};
use crate::model::feed::FeedChange;
use crate::model::id::PostId;

#[derive(SimpleObject)]
#[graphql(complex)]
pub struct FeedEvent {
    pub cursor: Cursor,
    pub replayed: bool,
    pub at: DateTime,
    #[graphql(skip)]
    came: Option<PostId>,
    /// The post that is gone from it.
    removed_id: Option<ID>,
}

#[ComplexObject]
impl FeedEvent {
    /// The post that came into the feed; null where it is gone again.
    async fn post(&self, ctx: &Context<'_>) -> Nullable<Post> {
        nullable(async {
            let Some(id) = self.came else { return Ok(None) };
            post::load(ctx, id).await
        })
        .await
    }
}

#[derive(Default)]
pub struct FeedSubscription;

#[Subscription]
impl FeedSubscription {
    /// What comes into the viewer's feed, and what goes from it.
    async fn feed_updated(
        &self,
        ctx: &Context<'_>,
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Result<Event>> + use<>> {
        let user = ctx.require_viewer()?.user;
        // What is not kept can't change: the feed is built for whoever listens to it.
        ctx.domain().build_feed(user).await?;
        let clock = ctx.domain().clock.clone();
        let prepare = |changes| async { Ok(ready(changes)) };
        events(ctx, Topic::Feed(user), after, prepare, move |head, change, _| {
            event(head, &change, clock.now())
        })
        .await
    }
}

/// Pages of a feed's changes, ready for its reader.
pub fn ready(changes: Vec<Delivery>) -> Vec<Ready<FeedChange>> {
    let ready = changes.into_iter().filter_map(|Delivery { position, change }| match change {
        Change::Feed(change) => Some(Ready { position, what: Some(change) }),
        _ => None,
    });
    ready.collect()
}

pub fn event(head: Head, change: &FeedChange, at: OffsetDateTime) -> Event {
    let Head { cursor, replayed } = head;
    let FeedChange { post, removed, .. } = *change;
    let removed_id = removed.then(|| ID::from(post.uuid()));
    let came = (!removed).then_some(post);
    Event::Feed(FeedEvent { cursor, replayed, at: at.into(), came, removed_id })
}
