//! Hashtags: an index of the posts that have one, kept by a consumer.

use crate::domain::fill::{Filling, PostPage};
use crate::domain::viewer::Viewer;
use crate::domain::{Domain, text};
use crate::model::event::Event;
use crate::model::id::{PostId, Slot, millis_of};
use crate::model::page::{Page, Place};
use crate::model::{Error, Result};
use crate::store::hashtag;

/// A tag as it is stored: in normal form, without the sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag(String);

impl Tag {
    /// Reads what a client sent, with the sign or without.
    pub fn parse(field: &'static str, text: &str) -> Result<Self> {
        let text = text.trim();
        let text = text.strip_prefix(['#', '＃', '﹟']).unwrap_or(text);
        text::normal_hashtag(text).map(Self).ok_or_else(|| Error::invalid(field, "is not a hashtag"))
    }

    /// One of a post's row.
    pub fn from_row(name: String) -> Self {
        Self(name)
    }

    pub fn name(&self) -> &str {
        &self.0
    }

    /// Where the tag's list lies.
    pub fn slot(&self) -> Slot {
        Slot::of_bytes(format!("#{}", self.0).as_bytes())
    }
}

/// Whether the index has to follow the event.
pub fn concerns(event: &Event) -> bool {
    matches!(event, Event::PostCreated { .. } | Event::PostUpdated { .. } | Event::PostDeleted { .. })
}

impl Domain {
    /// Brings the index to what the event says. May run again, and out of order: versions are the times
    /// of the changes, and a tag follows the greatest.
    pub async fn index_hashtags(&self, event: &Event) -> Result<()> {
        let (post, version, added, removed): (_, _, &[String], &[String]) = match event {
            Event::PostCreated { post, hashtags, .. } => (*post, millis_of(post.uuid()), hashtags, &[]),
            Event::PostUpdated { post, version, hashtags_added, hashtags_removed, .. } => {
                (*post, *version, hashtags_added, hashtags_removed)
            }
            Event::PostDeleted { post, hashtags, .. } => (*post, i64::MAX, &[], hashtags),
            _ => return Ok(()),
        };
        for (names, active) in [(added, true), (removed, false)] {
            for name in names {
                self.index_hashtag(&Tag::from_row(name.clone()), post, active, version).await?;
            }
        }
        Ok(())
    }

    async fn index_hashtag(&self, tag: &Tag, post: PostId, active: bool, version: i64) -> Result<()> {
        self.store
            .tx(tag.slot(), |tx| async move { hashtag::index(&tx, tag.name(), post, active, version).await })
            .await
    }

    /// How many posts have the tag.
    pub async fn hashtag_posts(&self, tag: &Tag) -> Result<i32> {
        let slot = tag.slot();
        let read = |connection| async move { hashtag::count(&connection, slot, tag.name()).await };
        self.read_lagging(None, self.store.shard(slot), read).await
    }

    /// A page of the posts that have the tag, the newest first. Nobody reads an own write here: a tag is
    /// filled by a consumer.
    pub async fn posts_with(&self, viewer: Option<&Viewer>, tag: &Tag, page: &Page) -> Result<PostPage> {
        let slot = tag.slot();
        let mut filling = Filling::of(page);
        while let Some(page) = filling.wanted() {
            let before = page.after.map(|place| place.id);
            let read = |connection| async move {
                hashtag::posts(&connection, (slot, tag.name()), before, page.limit()).await
            };
            let posts = self.read_lagging(None, self.store.shard(slot), read).await?;
            let posts = posts.into_iter().map(|post| (Place::id(post.uuid()), post));
            filling.add(self.see_posts(viewer, posts.collect()).await);
        }
        Ok(filling.finish())
    }
}
