//! Comments and replies.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use time::OffsetDateTime;

use crate::domain::activity::Activity;
use crate::domain::idempotency::Taken;
use crate::domain::policy::VisiblePost;
use crate::domain::viewer::Viewer;
use crate::domain::{Domain, text};
use crate::model::contact::ContactPolicy;
use crate::model::event::Event;
use crate::model::id::{CommentId, PostId, Slot, UserId};
use crate::model::idempotency::{Created, Request};
use crate::model::page::{Page, Place, Slice};
use crate::model::{Error, Result};
use crate::store::Tx;
use crate::store::comment::{self, Order};
use crate::store::group_commit::GroupWrite;
use crate::store::idempotency::Taking;

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

/// A new comment.
#[derive(Debug)]
pub(in crate::domain) struct CommentWrite {
    id: CommentId,
    author: UserId,
    post_author: UserId,
    new: NewComment,
    mentions: Vec<UserId>,
    request: Request,
}

impl GroupWrite for CommentWrite {
    type Made = Created<CommentId>;

    fn slot(&self) -> Slot {
        self.new.post.slot()
    }

    async fn write(tx: &Tx, writes: &[Self]) -> Result<Vec<Result<Created<CommentId>>>> {
        let mut taken = Taken::take(tx, writes.iter().map(Self::taking).collect()).await?;
        let fresh: Vec<usize> = taken.fresh().collect();
        let parents: Vec<CommentId> = fresh.iter().filter_map(|place| writes[*place].new.parent).collect();
        let parents = comment::find(tx, &parents).await?;
        let mut counts: BTreeMap<PostId, i32> = BTreeMap::new();
        let mut answering = Vec::with_capacity(fresh.len());
        for place in &fresh {
            let write = &writes[*place];
            match write.answered(&parents) {
                Ok(parent) => {
                    *counts.entry(write.new.post).or_default() += 1;
                    answering.push((*place, parent));
                }
                Err(refusal) => taken.refuse(*place, refusal),
            }
        }
        let mut made = Vec::with_capacity(answering.len());
        let last = if counts.is_empty() { HashMap::new() } else { comment::count(tx, &counts).await? };
        for (place, parent) in answering {
            let write = &writes[place];
            let Some(last) = last.get(&write.new.post) else {
                taken.refuse(place, Error::NotFound("post"));
                continue;
            };
            let left = counts.get_mut(&write.new.post).expect("each post was counted");
            *left -= 1;
            let n = last - i64::from(*left);
            made.push(write.row(parent, n, tx.clock().now()));
            tx.emit_in(write.slot(), &write.event(parent, n))?;
        }
        if !made.is_empty() {
            comment::insert(tx, &made).await?;
        }
        let answers = taken.settle(tx, &fresh).await?;
        Ok(answers.into_iter().map(|made| made.map(|made| made.map(CommentId::from_row))).collect())
    }
}

impl CommentWrite {
    fn taking(&self) -> Taking<'_> {
        Taking { slot: self.slot(), caller: self.author, request: &self.request, id: self.id.uuid() }
    }

    /// The comment that it answers, if it is a reply.
    fn answered<'a>(
        &self,
        parents: &'a HashMap<CommentId, comment::Model>,
    ) -> Result<Option<&'a comment::Model>> {
        let Some(parent) = self.new.parent else { return Ok(None) };
        let found = parents.get(&parent).filter(|found| found.post() == self.new.post);
        found.map(Some).ok_or(Error::NotFound("comment"))
    }

    /// Threads are one level deep: an answer to a reply stands under the comment that the reply stands under.
    fn row(&self, answered: Option<&comment::Model>, n: i64, now: OffsetDateTime) -> comment::Model {
        comment::Model {
            id: self.id.uuid(),
            post_id: self.new.post.uuid(),
            author_id: self.author.uuid(),
            parent_id: answered.map(|parent| parent.parent_id.unwrap_or(parent.id)),
            text: self.new.text.clone(),
            mention_ids: self.mentions.iter().map(|user| user.uuid()).collect(),
            reply_count: 0,
            n: Some(n),
            created_at: now,
        }
    }

    fn event(&self, answered: Option<&comment::Model>, n: i64) -> Event {
        Event::CommentCreated {
            comment: self.id,
            post: self.new.post,
            post_author: self.post_author,
            author: self.author,
            parent_author: answered.map(comment::Model::author),
            mentions: self.mentions.clone(),
            n: Some(n),
        }
    }
}

impl Domain {
    /// Comments on a post, or answers a comment; the same key again gives the same comment.
    pub async fn create_comment(
        &self,
        viewer: &Viewer,
        new: NewComment,
        request: Request,
    ) -> Result<Created<CommentId>> {
        let seen = self.require_post(Some(viewer), new.post).await?;
        self.check_may_comment(viewer, &seen).await?;
        let id = CommentId::make(&self.clock, new.post.slot());
        let (author, post_author) = (viewer.user, seen.author.id());
        let mentions = self.mentioned(&new.text).await;
        let write = CommentWrite { id, author, post_author, new, mentions, request };
        let created = self.write_grouped(author, &self.writes.comments, write).await?;
        if !created.replayed {
            Activity::Comment.count();
        }
        Ok(created)
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
