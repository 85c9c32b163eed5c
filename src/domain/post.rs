//! Posts and the likes on them.

use std::sync::Arc;

use serde::Serialize;
use time::{Duration, OffsetDateTime};

use super::account::Viewer;
use super::patch::Patch;
use super::policy::{self, VisiblePost};
use super::upload::why_unusable;
use super::{Domain, text};
use crate::model::contact::ContactPolicy;
use crate::model::event::Event;
use crate::model::id::{MediaId, PostId, UserId};
use crate::model::idempotency::{Created, Request};
use crate::model::page::{Page, Place, Slice};
use crate::model::{Error, Result};
use crate::store::edge::{self, Table};
use crate::store::idempotency::{self, Record};
use crate::store::user::{self, Counter};
use crate::store::{media, post};

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
        self.location = text::optional("input.location", self.location.as_deref(), MAX_LOCATION)?;
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
            self.location.read(|text| text::optional("input.location", Some(text), MAX_LOCATION))?;
        Ok(self)
    }
}

impl Domain {
    /// Makes a post; the same key again gives the same post.
    pub async fn create_post(
        &self,
        viewer: &Viewer,
        new: &NewPost,
        request: &Request,
    ) -> Result<Created<PostId>> {
        let author = viewer.user;
        let id = PostId::make(&self.clock, author.slot());
        let caption = new.caption.as_deref().unwrap_or_default();
        let hashtags = &text::hashtags(caption);
        let mentions = &self.mentioned(caption).await;
        self.write(author, author.slot(), |tx| async move {
            if let Record::Replayed(id) = idempotency::take(&tx, author, request, id.uuid()).await? {
                return Ok(Created { id: PostId::from_row(id), replayed: true });
            }
            if !media::use_all(&tx, author, &new.media, id.uuid()).await? {
                return Err(why_unusable(&tx, author, &new.media, "input.mediaIds").await?);
            }
            post::insert(&tx, row(id, author, new, hashtags, mentions, tx.clock().now())).await?;
            user::count(&tx, author, Counter::Posts, 1).await?;
            tx.emit(&Event::PostCreated {
                post: id,
                author,
                hashtags: hashtags.clone(),
                mentions: mentions.clone(),
            })?;
            Ok(Created { id, replayed: false })
        })
        .await
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
                mentions_added: without(&post.mention_ids, &old_mentions)
                    .into_iter()
                    .map(UserId::from_row)
                    .collect(),
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

    /// Removes what is left of a deleted post.
    pub async fn purge_post(&self, id: PostId) -> Result<()> {
        self.store.read(id.slot(), async |connection| post::purge(&connection, id).await).await
    }

    /// Likes a post, or takes the like back; again changes nothing.
    pub async fn set_like(&self, viewer: &Viewer, id: PostId, active: bool) -> Result<()> {
        let seen = self.require_post(Some(viewer), id).await?;
        if active && seen.post.likes_disabled {
            return Err(Error::Forbidden("The author has turned likes off."));
        }
        let (user, author) = (viewer.user, seen.author.id());
        self.write(user, id.slot(), |tx| async move {
            let changed = edge::set(&tx, Table::Likes, id.uuid(), user.uuid(), active).await?;
            let Some(version) = changed else { return Ok(()) };
            if !edge::count_likes(&tx, id, if active { 1 } else { -1 }).await? {
                return Err(Error::NotFound("post"));
            }
            tx.emit(&Event::PostLiked { post: id, author, user, active, version })
        })
        .await
    }

    /// Brings the liker's side to a version of the like.
    pub async fn mirror_like(&self, post: PostId, user: UserId, active: bool, version: i64) -> Result<()> {
        self.write(user, user.slot(), |tx| async move {
            edge::mirror(&tx, Table::Liked, (user.uuid(), post.uuid()), active, version).await.map(|_| ())
        })
        .await
    }

    /// A user's posts, the newest first.
    pub async fn posts_of(
        &self,
        viewer: Option<&Viewer>,
        author: UserId,
        page: &Page,
    ) -> Result<Slice<(Place, VisiblePost)>> {
        let user = self.require_user(viewer, author).await?;
        let before = page.after.map(|place| PostId::from_row(place.id));
        let limit = u64::from(page.size) + 1;
        let posts = self
            .store
            .read(author.slot(), async |connection| post::of_author(&connection, author, before, limit).await)
            .await?;
        let seen = posts.into_iter().filter(|post| policy::sees_post(viewer, post, &user));
        let visible = seen.map(|post| {
            (Place::id(post.id), VisiblePost { post: Arc::new(post), author: Arc::clone(&user) })
        });
        Ok(Slice::cut(visible.collect(), page))
    }

    /// Who likes a post, the newest first.
    pub async fn likers(
        &self,
        viewer: Option<&Viewer>,
        post: PostId,
        page: &Page,
    ) -> Result<Slice<(Place, UserId)>> {
        let owner = (post.slot(), post.uuid());
        let edges = super::follow::list_page(self, viewer, Table::Likes, owner, page).await?;
        Ok(edges.map(|(place, id)| (place, UserId::from_row(id))))
    }

    async fn require_own_post(&self, viewer: &Viewer, id: PostId) -> Result<VisiblePost> {
        let seen = self.require_post(Some(viewer), id).await?;
        if seen.author.id() != viewer.user {
            return Err(Error::Forbidden("Only its author may change a post."));
        }
        Ok(seen)
    }
}

fn row(
    id: PostId,
    author: UserId,
    new: &NewPost,
    hashtags: &[String],
    mentions: &[UserId],
    now: OffsetDateTime,
) -> post::Model {
    post::Model {
        id: id.uuid(),
        author_id: author.uuid(),
        caption: new.caption.clone(),
        location: new.location.clone(),
        media_ids: new.media.iter().map(|media| media.uuid()).collect(),
        hashtags: hashtags.to_vec(),
        mention_ids: mentions.iter().map(|user| user.uuid()).collect(),
        sensitive: new.sensitive,
        comment_policy: new.comment_policy as i16,
        likes_disabled: new.likes_disabled,
        like_count: 0,
        comment_count: 0,
        created_at: now,
        edited_at: None,
        deleted_at: None,
    }
}

/// Those of `all` that are not in `others`.
fn without<T: Clone + PartialEq>(all: &[T], others: &[T]) -> Vec<T> {
    all.iter().filter(|item| !others.contains(item)).cloned().collect()
}
