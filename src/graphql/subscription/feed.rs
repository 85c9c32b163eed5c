//! What becomes of the viewer's feed.

use async_graphql::{Context, Result, Subscription};
use futures_util::Stream;

use super::event::{Event, FeedEvent};
use super::events::events;
use crate::graphql::context::ContextExt;
use crate::graphql::scalar::Cursor;
use crate::live::{Change, Delivery, Ready, Topic};
use crate::model::feed::FeedChange;

#[derive(Default)]
pub struct FeedSubscription;

#[Subscription]
impl FeedSubscription {
    /// Posts that are added to the viewer's feed or removed from it.
    async fn feed_updated(
        &self,
        ctx: &Context<'_>,
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Result<Event>> + use<>> {
        let user = ctx.require_viewer()?.user;
        // A feed that is not cached gets no changes, so it is built for its listener.
        ctx.domain().build_feed(user).await?;
        let clock = ctx.domain().clock.clone();
        let prepare = |changes| async { Ok(ready(changes)) };
        events(ctx, Topic::Feed(user), after, prepare, move |head, change, _| {
            Event::Feed(FeedEvent::new(head, &change, clock.now()))
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
