//! Posts.

pub mod comment;
pub mod hashtag;
pub mod like;
pub mod mention;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::fill::{Filling, PostPage, Seen};
use super::idempotency::Taken;
use super::media::upload::why_unusable;
use super::patch::Patch;
use super::policy::VisiblePost;
use super::viewer::Viewer;
use super::{Domain, text};
use crate::domain::activity::Activity;
use crate::model::contact::ContactPolicy;
use crate::model::event::Event;
use crate::model::id::{MediaId, PostId, Slot, UserId};
use crate::model::idempotency::{Created, Request};
use crate::model::page::{Page, Place};
use crate::model::{Error, Result};
use crate::store::group_commit::GroupWrite;
use crate::store::idempotency::Taking;
use crate::store::media::Use;
use crate::store::user::{self, Counter};
use crate::store::{Tx, media, post};

/// The most images in a post.
pub const MAX_MEDIA: usize = 10;
/// Characters.
pub const MAX_CAPTION: usize = 2200;
/// Characters.
pub const MAX_LOCATION: usize = 100;

/// A post as it is asked for, checked.
#[derive(Debug, Clone, Serialize)]
pub struct NewPost {
    pub media: Vec<MediaId>,
    pub caption: Option<String>,
    pub location: Option<String>,
    pub comment_policy: ContactPolicy,
    pub likes_disabled: bool,
    pub sensitive: bool,
}

impl NewPost {
    /// Checks what a form can say wrong; whether the images are the author's is checked when they are used.
    pub fn check(mut self) -> Result<Self> {
        if self.media.is_empty() || self.media.len() > MAX_MEDIA {
            return Err(Error::invalid("input.mediaIds", format!("must have 1 to {MAX_MEDIA} images")));
        }
        let distinct: std::collections::HashSet<&MediaId> = self.media.iter().collect();
        if distinct.len() != self.media.len() {
            return Err(Error::invalid("input.mediaIds", "names an image twice"));
        }
        self.caption = text::optional("input.caption", self.caption.as_deref(), MAX_CAPTION)?;
        self.location = text::optional_line("input.location", self.location.as_deref(), MAX_LOCATION)?;
        Ok(self)
    }
}

/// What to change in a post.
#[derive(Debug, Clone, Default)]
pub struct PostChange {
    pub caption: Patch<String>,
    pub location: Patch<String>,
    pub comment_policy: Option<ContactPolicy>,
    pub likes_disabled: Option<bool>,
    pub sensitive: Option<bool>,
}

impl PostChange {
    /// Checks what a form can say wrong.
    pub fn check(mut self) -> Result<Self> {
        self.caption = self.caption.read(|text| text::optional("input.caption", Some(text), MAX_CAPTION))?;
        self.location =
            self.location.read(|text| text::optional_line("input.location", Some(text), MAX_LOCATION))?;
        Ok(self)
    }
}

/// A new post.
#[derive(Debug)]
pub(super) struct PostWrite {
    id: PostId,
    author: UserId,
    new: NewPost,
    hashtags: Vec<String>,
    mentions: Vec<UserId>,
    request: Request,
}

impl GroupWrite for PostWrite {
    type Made = Created<PostId>;

    fn slot(&self) -> Slot {
        self.author.slot()
    }

    async fn write(tx: &Tx, writes: &[Self]) -> Result<Vec<Result<Created<PostId>>>> {
        let mut taken = Taken::take(tx, writes.iter().map(Self::taking).collect()).await?;
        let fresh: Vec<usize> = taken.fresh().collect();
        let uses: Vec<Use> = fresh.iter().flat_map(|place| writes[*place].uses()).collect();
        let marked = media::use_each(tx, &uses).await?;
        let mut made = Vec::with_capacity(fresh.len());
        let mut counts = BTreeMap::new();
        for place in &fresh {
            let write = &writes[*place];
            if write.uses().any(|asked| !marked.contains(&(asked.image, asked.used_by))) {
                let images: Vec<Uuid> = write.new.media.iter().map(|image| image.uuid()).collect();
                media::unuse(tx, write.id.uuid(), &images).await?;
                let why = why_unusable(tx, write.author, &write.new.media, "input.mediaIds").await?;
                taken.refuse(*place, why);
                continue;
            }
            made.push(write.row(tx.clock().now()));
            *counts.entry(write.author).or_default() += 1;
            tx.emit_in(write.slot(), &write.event())?;
        }
        if !made.is_empty() {
            post::insert(tx, &made).await?;
            user::count_each(tx, Counter::Posts, &counts).await?;
        }
        let answers = taken.settle(tx, &fresh).await?;
        Ok(answers.into_iter().map(|made| made.map(|made| made.map(PostId::from_row))).collect())
    }
}

impl PostWrite {
    fn taking(&self) -> Taking<'_> {
        Taking { slot: self.slot(), caller: self.author, request: &self.request, id: self.id.uuid() }
    }

    fn uses(&self) -> impl Iterator<Item = Use> {
        let (owner, used_by) = (self.author, self.id.uuid());
        self.new.media.iter().map(move |image| Use { image: *image, owner, used_by })
    }

    fn event(&self) -> Event {
        Event::PostCreated {
            post: self.id,
            author: self.author,
            hashtags: self.hashtags.clone(),
            mentions: self.mentions.clone(),
        }
    }

    fn row(&self, now: OffsetDateTime) -> post::Model {
        post::Model {
            id: self.id.uuid(),
            author_id: self.author.uuid(),
            caption: self.new.caption.clone(),
            location: self.new.location.clone(),
            media_ids: self.new.media.iter().map(|media| media.uuid()).collect(),
            hashtags: self.hashtags.clone(),
            mention_ids: self.mentions.iter().map(|user| user.uuid()).collect(),
            sensitive: self.new.sensitive,
            comment_policy: self.new.comment_policy as i16,
            likes_disabled: self.new.likes_disabled,
            like_count: 0,
            comment_count: 0,
            created_at: now,
            edited_at: None,
            deleted_at: None,
        }
    }
}

impl Domain {
    /// Makes a post; the same key again gives the same post.
    pub async fn create_post(
        &self,
        viewer: &Viewer,
        new: NewPost,
        request: Request,
    ) -> Result<Created<PostId>> {
        let author = viewer.user;
        let id = PostId::make(&self.clock, author.slot());
        let caption = new.caption.as_deref().unwrap_or_default();
        let hashtags = text::hashtags(caption);
        let mentions = self.mentioned(caption).await;
        let write = PostWrite { id, author, new, hashtags, mentions, request };
        let created = self.write_grouped(author, &self.writes.posts, write).await?;
        if !created.replayed {
            Activity::Post.count();
        }
        Ok(created)
    }

    /// Changes a post of the viewer's.
    pub async fn update_post(&self, viewer: &Viewer, id: PostId, change: &PostChange) -> Result<()> {
        self.require_own_post(viewer, id).await?;
        let mentions = &match &change.caption {
            Patch::Set(caption) => self.mentioned(caption).await,
            Patch::Keep | Patch::Clear => Vec::new(),
        };
        self.write(viewer.user, id.slot(), |tx| async move {
            let mut post = post::lock(&tx, id).await?.ok_or(Error::NotFound("post"))?;
            let (old_tags, old_mentions) = (post.hashtags.clone(), post.mention_ids.clone());
            if change.caption != Patch::Keep {
                change.caption.apply(&mut post.caption);
                post.hashtags = text::hashtags(post.caption.as_deref().unwrap_or_default());
                post.mention_ids = mentions.iter().map(|user| user.uuid()).collect();
            }
            change.location.apply(&mut post.location);
            if let Some(policy) = change.comment_policy {
                post.comment_policy = policy as i16;
            }
            post.likes_disabled = change.likes_disabled.unwrap_or(post.likes_disabled);
            post.sensitive = change.sensitive.unwrap_or(post.sensitive);
            // Later than the edit before, whatever this process's clock says: it is the event's version.
            let earliest = post.edited_at.unwrap_or(post.created_at) + Duration::milliseconds(1);
            let edited_at = tx.clock().now().max(earliest);
            post.edited_at = Some(edited_at);
            post::update(&tx, &post).await?;
            tx.emit(&Event::PostUpdated {
                post: id,
                author: viewer.user,
                version: crate::model::clock::to_millis(edited_at),
                hashtags_removed: without(&old_tags, &post.hashtags),
                hashtags_added: without(&post.hashtags, &old_tags),
                mentions_added: users(without(&post.mention_ids, &old_mentions)),
                mentions_removed: users(without(&old_mentions, &post.mention_ids)),
            })
        })
        .await
    }

    /// Deletes a post of the viewer's: at once for everybody, its rows a little later.
    pub async fn delete_post(&self, viewer: &Viewer, id: PostId) -> Result<()> {
        self.require_own_post(viewer, id).await?;
        self.write(viewer.user, id.slot(), |tx| async move {
            let post = post::lock(&tx, id).await?.ok_or(Error::NotFound("post"))?;
            post::mark_deleted(&tx, id, tx.clock().now()).await?;
            media::release(&tx, id.uuid(), &post.media_ids).await?;
            user::count(&tx, post.author(), Counter::Posts, -1).await?;
            tx.emit(&Event::PostDeleted {
                post: id,
                author: post.author(),
                version: tx.clock().unix_millis(),
                hashtags: post.hashtags,
            })
        })
        .await
    }

    /// A user's posts, the newest first; none if the account is private and the viewer does not follow it.
    pub async fn posts_of(
        &self,
        viewer: Option<&Viewer>,
        author: UserId,
        page: &Page,
    ) -> Result<Option<PostPage>> {
        let mut filling = Filling::of(page);
        while let Some(page) = filling.wanted() {
            let before = page.after.map(|place| PostId::from_row(place.id));
            let limit = u64::from(page.size) + 1;
            let read = async |connection| post::of_author(&connection, author, before, limit).await;
            let posts = self.store.read(author.slot(), read).await?;
            // After the posts: what was posted since the account became private is not seen by others.
            let Some(user) = self.require_inside(viewer, author).await? else { return Ok(None) };
            let see = |post: post::Model| {
                let author = Arc::clone(&user);
                (Place::id(post.id), Seen::Visible(VisiblePost { post: Arc::new(post), author }))
            };
            filling.add(posts.into_iter().map(see).collect());
        }
        Ok(Some(filling.finish()))
    }

    async fn require_own_post(&self, viewer: &Viewer, id: PostId) -> Result<VisiblePost> {
        let seen = self.require_post(Some(viewer), id).await?;
        if seen.author.id() != viewer.user {
            return Err(Error::Forbidden("Only its author may change a post."));
        }
        Ok(seen)
    }
}

fn users(ids: Vec<Uuid>) -> Vec<UserId> {
    ids.into_iter().map(UserId::from_row).collect()
}

/// Those of `all` that are not in `others`.
fn without<T: Clone + PartialEq>(all: &[T], others: &[T]) -> Vec<T> {
    all.iter().filter(|item| !others.contains(item)).cloned().collect()
}
