//! What becomes of a feed.

use async_graphql::{ComplexObject, Context, ID, SimpleObject};
use time::OffsetDateTime;

use super::head::Head;
use crate::graphql::nullable::{Nullable, nullable};
use crate::graphql::post::{self, Post};
use crate::graphql::scalar::{Cursor, DateTime};
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
    /// The id of a post that was removed from the feed.
    removed_id: Option<ID>,
}

#[ComplexObject]
impl FeedEvent {
    /// The post that was added to the feed; null if it has been removed since.
    async fn post(&self, ctx: &Context<'_>) -> Nullable<Post> {
        nullable(async {
            let Some(id) = self.came else { return Ok(None) };
            post::load(ctx, id).await
        })
        .await
    }
}

impl FeedEvent {
    pub fn new(head: Head, change: &FeedChange, at: OffsetDateTime) -> Self {
        let Head { cursor, replayed } = head;
        let FeedChange { post, removed, .. } = *change;
        let removed_id = removed.then(|| ID::from(post.uuid()));
        let came = (!removed).then_some(post);
        Self { cursor, replayed, at: at.into(), came, removed_id }
    }
}
