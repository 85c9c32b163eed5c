//! What people do with a post.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, Result, SimpleObject, Subscription};
use futures_util::{Stream, StreamExt};

use super::{Event, Head, events};
use crate::domain::Domain;
use crate::domain::account::Viewer;
use crate::graphql::comment::Comment;
use crate::graphql::context::ContextExt;
use crate::graphql::nullable::{Nullable, nullable};
use crate::graphql::post::{self, Post};
use crate::graphql::scalar::{Cursor, DateTime};
use crate::graphql::user::{self, User};
use crate::live::{Change, Delivery, Ready, Said, Signal, Topic, signals};
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

    /// Who did it; null where the viewer may not see them.
    async fn actor(&self, ctx: &Context<'_>) -> Nullable<User> {
        nullable(async { user::load(ctx, self.actor).await }).await
    }

    /// The new comment; null where it is a like.
    async fn comment(&self) -> Option<Comment> {
        self.comment.clone().map(Comment::from)
    }
}

#[derive(Default)]
pub struct PostSubscription;

#[Subscription]
impl PostSubscription {
    /// The comments on a post and the replies to them: those after the cursor, then each new one.
    async fn post_commented(
        &self,
        ctx: &Context<'_>,
        post_id: ID,
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Result<Event>> + use<>> {
        let viewer = ctx.require_viewer()?.clone();
        let id = PostId::parse("postId", &post_id)?;
        let domain = ctx.domain().clone();
        may_see(domain.clone(), viewer.clone(), id).await?;
        let prepare = move |changes| admitted(domain.clone(), viewer.clone(), id, changes);
        events(ctx, Topic::Comments(id), after, prepare, |head, row, _| commented(head, row)).await
    }

    /// Each new like of a post; live only. Its cursor names it, and is good for no subscription: one that
    /// comes again has the same.
    async fn post_liked(
        &self,
        ctx: &Context<'_>,
        post_id: ID,
    ) -> Result<impl Stream<Item = Result<Event>> + use<>> {
        let viewer = ctx.require_viewer()?.clone();
        let id = PostId::parse("postId", &post_id)?;
        let domain = ctx.domain().clone();
        may_see(domain.clone(), viewer.clone(), id).await?;
        let listener = ctx.hub().listen(Signal::Likes(id)).await;
        let allowed = move || may_see(domain.clone(), viewer.clone(), id);
        Ok(signals(listener, None, allowed).filter_map(move |said| {
            let event = said.map(|said| liked(id, said)).map_err(Into::into).transpose();
            std::future::ready(event)
        }))
    }
}

async fn may_see(domain: Domain, viewer: Viewer, id: PostId) -> Result<(), Error> {
    domain.require_post(Some(&viewer), id).await.map(|_| ())
}

/// A page of comments, if the viewer may still see the post.
async fn admitted(
    domain: Domain,
    viewer: Viewer,
    id: PostId,
    changes: Vec<Delivery>,
) -> Result<Vec<Ready<Arc<comment::Model>>>, Error> {
    may_see(domain, viewer, id).await?;
    let ready = changes.into_iter().filter_map(|Delivery { position, change }| match change {
        Change::Comment(row) => Some(Ready { position, what: Some(row) }),
        _ => None,
    });
    Ok(ready.collect())
}

fn liked(post: PostId, said: Said) -> Option<Event> {
    let Said::Liked { event, user: actor } = said else { return None };
    let at = from_millis(millis_of(event.uuid())).into();
    let cursor = Cursor(event.to_string());
    Some(Event::Post(PostEvent { cursor, replayed: false, at, post, actor, comment: None }))
}

/// The event of a new comment.
fn commented(head: Head, row: Arc<comment::Model>) -> Event {
    let Head { cursor, replayed } = head;
    let (at, post, actor) = (row.created_at.into(), row.post(), row.author());
    Event::Post(PostEvent { cursor, replayed, at, post, actor, comment: Some(row) })
}
