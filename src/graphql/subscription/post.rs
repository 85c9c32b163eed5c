//! What people do with a post.

use std::sync::Arc;

use async_graphql::{Context, ID, Result, Subscription};
use futures_util::{Stream, StreamExt};

use super::event::{Event, PostEvent};
use super::events::events;
use crate::domain::Domain;
use crate::domain::viewer::Viewer;
use crate::graphql::context::ContextExt;
use crate::graphql::scalar::Cursor;
use crate::live::{Change, Delivery, Ready, Signal, Topic, signals};
use crate::model::Error;
use crate::model::id::PostId;
use crate::store::comment;

#[derive(Default)]
pub struct PostSubscription;

#[Subscription]
impl PostSubscription {
    /// The comments on a post and the replies to them: first those after the cursor, then new ones.
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
        events(ctx, Topic::Comments(id), after, prepare, |head, row, _| {
            Event::Post(PostEvent::commented(head, row))
        })
        .await
    }

    /// New likes of a post; live only. The cursor identifies the like: one that is delivered twice has the same. It
    /// can't be used to subscribe.
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
            let event =
                said.map(|said| PostEvent::liked(id, said).map(Event::Post)).map_err(Into::into).transpose();
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
