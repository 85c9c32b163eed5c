//! Comments and replies.

use serde::Serialize;

use super::account::Viewer;
use super::policy::VisiblePost;
use super::{Domain, text};
use crate::model::contact::ContactPolicy;
use crate::model::event::Event;
use crate::model::id::{CommentId, PostId};
use crate::model::idempotency::{Created, Request};
use crate::model::page::{Page, Place, Slice};
use crate::model::{Error, Result};
use crate::store::comment::{self, Order};
use crate::store::idempotency::{self, Record};

/// Characters.
pub const MAX_TEXT: usize = 1000;

/// A comment as it is asked for, checked.
#[derive(Debug, Clone, Serialize)]
pub struct NewComment {
    pub post: PostId,
    pub parent: Option<CommentId>,
    pub text: String,
}

impl NewComment {
    /// Checks what a form can say wrong.
    pub fn check(mut self) -> Result<Self> {
        self.text = text::required("input.text", &self.text, MAX_TEXT)?;
        Ok(self)
    }
}

impl Domain {
    /// Comments on a post, or answers a comment; the same key again gives the same comment. Threads are
    /// one level deep: an answer to a reply stands under the comment that the reply stands under.
    pub async fn create_comment(
        &self,
        viewer: &Viewer,
        new: &NewComment,
        request: &Request,
    ) -> Result<Created<CommentId>> {
        let seen = self.require_post(Some(viewer), new.post).await?;
        self.check_may_comment(viewer, &seen).await?;
        let id = CommentId::make(&self.clock, new.post.slot());
        let (author, post_author) = (viewer.user, seen.author.id());
        let mentions = &self.mentioned(&new.text).await;
        self.write(viewer.user, new.post.slot(), |tx| async move {
            if let Record::Replayed(id) = idempotency::take(&tx, author, request, id.uuid()).await? {
                return Ok(Created { id: CommentId::from_row(id), replayed: true });
            }
            let answered = match new.parent {
                Some(parent) => Some(
                    comment::find(&tx, parent)
                        .await?
                        .filter(|parent| parent.post() == new.post)
                        .ok_or(Error::NotFound("comment"))?,
                ),
                None => None,
            };
            let row = comment::Model {
                id: id.uuid(),
                post_id: new.post.uuid(),
                author_id: author.uuid(),
                parent_id: answered.as_ref().map(|parent| parent.parent_id.unwrap_or(parent.id)),
                text: new.text.clone(),
                mention_ids: mentions.iter().map(|user| user.uuid()).collect(),
                reply_count: 0,
                n: None,
                created_at: tx.clock().now(),
            };
            let n = comment::insert(&tx, row).await?.ok_or(Error::NotFound("post"))?;
            tx.emit(&Event::CommentCreated {
                comment: id,
                post: new.post,
                post_author,
                author,
                parent_author: answered.map(|parent| parent.author()),
                mentions: mentions.clone(),
                n: Some(n),
            })?;
            Ok(Created { id, replayed: false })
        })
        .await
    }

    async fn check_may_comment(&self, viewer: &Viewer, seen: &VisiblePost) -> Result<()> {
        let author = seen.author.id();
        let policy = ContactPolicy::from_row(seen.post.comment_policy);
        let may = viewer.user == author || self.admits(policy, author, viewer.user).await?;
        if may { Ok(()) } else { Err(Error::Forbidden("The author does not take comments from you.")) }
    }

    /// A page of a post's comments, or of the replies to one.
    pub async fn comments(
        &self,
        post: PostId,
        order: Order,
        page: &Page,
    ) -> Result<Slice<(Place, comment::Model)>> {
        let (after, limit) = bounds(page);
        let read = self.store.read(post.slot(), async |connection| {
            comment::of_post(&connection, post, order, after, limit).await
        });
        Ok(cut(read.await?, page))
    }

    /// A page of the replies to a comment, oldest first.
    pub async fn replies(&self, parent: CommentId, page: &Page) -> Result<Slice<(Place, comment::Model)>> {
        let (after, limit) = bounds(page);
        let read = self.store.read(parent.slot(), async |connection| {
            comment::replies(&connection, parent, after, limit).await
        });
        Ok(cut(read.await?, page))
    }
}

fn bounds(page: &Page) -> (Option<CommentId>, u64) {
    (page.after.map(|place| CommentId::from_row(place.id)), u64::from(page.size) + 1)
}

fn cut(comments: Vec<comment::Model>, page: &Page) -> Slice<(Place, comment::Model)> {
    Slice::cut(comments.into_iter().map(|comment| (Place::id(comment.id), comment)).collect(), page)
}
