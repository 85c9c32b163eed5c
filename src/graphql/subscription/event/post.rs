//! What people do with a post.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Result, SimpleObject};

use super::head::Head;
use crate::graphql::comment::Comment;
use crate::graphql::nullable::{Nullable, nullable};
use crate::graphql::post::{self, Post};
use crate::graphql::scalar::{Cursor, DateTime};
use crate::graphql::user::{self, User};
use crate::live::SignalEvent;
use crate::model::Error;
use crate::model::clock::from_millis;
use crate::model::id::{PostId, UserId, millis_of};
use crate::store::comment;

#[derive(SimpleObject)]
#[graphql(complex)]
pub struct PostEvent {
    pub cursor: Cursor,
    pub replayed: bool,
    pub at: DateTime,
    #[graphql(skip)]
    post: PostId,
    #[graphql(skip)]
    actor: UserId,
    #[graphql(skip)]
    comment: Option<Arc<comment::Model>>,
}

#[ComplexObject]
impl PostEvent {
    async fn post(&self, ctx: &Context<'_>) -> Result<Post> {
        Ok(post::load(ctx, self.post).await?.ok_or(Error::NotFound("post"))?)
    }

    /// Who did it; null if the viewer may not see them.
    async fn actor(&self, ctx: &Context<'_>) -> Nullable<User> {
        nullable(async { user::load(ctx, self.actor).await }).await
    }

    /// The new comment; null for a like.
    async fn comment(&self) -> Option<Comment> {
        self.comment.clone().map(Comment::from)
    }
}

impl PostEvent {
    /// The event of a like; none where the signal is another.
    pub fn liked(post: PostId, said: SignalEvent) -> Option<Self> {
        let SignalEvent::Liked { event, user: actor } = said else { return None };
        let at = from_millis(millis_of(event.uuid())).into();
        let cursor = Cursor(event.to_string());
        Some(Self { cursor, replayed: false, at, post, actor, comment: None })
    }

    /// The event of a new comment.
    pub fn commented(head: Head, row: Arc<comment::Model>) -> Self {
        let Head { cursor, replayed } = head;
        let (at, post, actor) = (row.created_at.into(), row.post(), row.author());
        Self { cursor, replayed, at, post, actor, comment: Some(row) }
    }
}
