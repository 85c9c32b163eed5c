//! The feed: written to its readers' caches when a post is made, rebuilt from the shards when a cache has
//! nothing. A read is four steps: skeleton (ids), hydrate (rows), policy (what the viewer may see), present.

mod fan_out;

use std::time::Duration;

use super::Domain;
use super::fill::{Filling, PostPage, seen};
use super::viewer::Viewer;
use crate::cache::{MAX_POSTS, Rebuild};
use crate::model::feed::Skeleton;
use crate::model::id::{PostId, UserId};
use crate::model::page::{Page, Place};
use crate::model::{Error, Result};
use crate::store::edge::{self, Table};
use crate::store::{LoadErrors, post};
pub use fan_out::{FanOut, wake};

/// How many of the posts of one shard a rebuild takes.
const REBUILD_POSTS: u32 = 800;
const _: () = assert!(REBUILD_POSTS as usize == MAX_POSTS, "a shard may have all posts of a feed");
/// How long a reader waits for another process's rebuild before it answers with what there is.
const REBUILD_WAIT: Duration = Duration::from_secs(2);

/// A page of a feed.
#[derive(Debug)]
pub struct FeedPage {
    pub posts: PostPage,
    /// Unix ms.
    pub built_at: i64,
    /// The feed is being built, and there may be more in a moment.
    pub rebuilding: bool,
    /// Something could not be read, so posts may be missing.
    pub degraded: bool,
}

impl Domain {
    /// A page of the viewer's feed, newest first. What can't be read is left out.
    pub async fn read_feed(&self, viewer: &Viewer, page: &Page) -> Result<FeedPage> {
        let mut filling = Filling::of(page);
        let (mut summary, mut away) = (None, None);
        while let Some(page) = filling.wanted() {
            let before = page.after.map(|place| PostId::from_row(place.id));
            let skeleton = self.skeleton(viewer.user, before, page.size as usize + 1).await?;
            let (visible, unread) = self.visible_posts(Some(viewer), &skeleton.posts).await;
            let degraded = skeleton.degraded || !unread.is_empty();
            let (built_at, rebuilding) = (skeleton.built_at, skeleton.rebuilding);
            summary.get_or_insert((built_at, rebuilding, false)).2 |= degraded;
            away = away.or_else(|| unread.into_values().next());
            let posts = skeleton.posts.into_iter().map(|id| (Place::id(id.uuid()), id));
            filling.add(seen(posts, &(visible, LoadErrors::new())));
        }
        let (built_at, rebuilding, degraded) = summary.unwrap_or_default();
        let mut posts = filling.finish();
        posts.unavailable = away;
        Ok(FeedPage { posts, built_at, rebuilding, degraded })
    }

    /// The ids of a page: from the cache; built first, where it has none; from the shards, where there is
    /// no cache.
    async fn skeleton(&self, user: UserId, before: Option<PostId>, limit: usize) -> Result<Skeleton> {
        match self.feeds.read(user, before, limit).await {
            Ok(Some(skeleton)) if !skeleton.rebuilding => {
                count_lookup("hit");
                return Ok(skeleton);
            }
            Ok(skeleton) => {
                count_lookup("miss");
                let built = tokio::time::timeout(REBUILD_WAIT, self.build_feed(user)).await;
                if let Ok(Err(error)) = &built {
                    tracing::warn!(cause = %error, "feed not rebuilt");
                }
                if let Ok(Some(read)) = self.feeds.read(user, before, limit).await {
                    return Ok(read);
                }
                if let Some(skeleton) = skeleton {
                    return Ok(skeleton);
                }
            }
            Err(_) => metrics::counter!("fowergram_feed_reads_without_cache_total").increment(1),
        }
        let (mut posts, _) = self.assemble(user).await?;
        posts.retain(|post| before.is_none_or(|before| *post < before));
        posts.truncate(limit);
        Ok(Skeleton { posts, built_at: self.clock.unix_millis(), rebuilding: false, degraded: true })
    }

    /// Builds a missing feed, or waits for the process that is building it.
    pub async fn build_feed(&self, user: UserId) -> Result<()> {
        loop {
            match self.feeds.begin(user).await? {
                Rebuild::Begun(generation) => {
                    metrics::counter!("fowergram_feed_rebuilds_total").increment(1);
                    let (posts, failed) = self.assemble(user).await?;
                    if let Some(error) = failed {
                        // Half a feed must not be kept as if it were whole.
                        self.feeds.forget(user).await?;
                        return Err(error);
                    }
                    if self.feeds.finish(user, generation, &posts).await? {
                        return Ok(());
                    }
                }
                Rebuild::Taken => {
                    let skeleton = self.feeds.read(user, None, 0).await?;
                    if skeleton.is_some_and(|skeleton| !skeleton.rebuilding) {
                        return Ok(());
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
    }

    /// The newest posts of all whom the user follows, and the user's own: one query a shard.
    async fn assemble(&self, user: UserId) -> Result<(Vec<PostId>, Option<Error>)> {
        let followees = self
            .store
            .read(user.slot(), async |connection| {
                edge::list(&connection, Table::Following, user.uuid(), None, super::follow::MAX_FOLLOWING)
                    .await
            })
            .await?;
        let mut authors: Vec<UserId> =
            followees.into_iter().map(|edge| UserId::from_row(edge.other)).collect();
        authors.push(user);
        let read = self.store.scatter(
            authors,
            |author| author.slot(),
            |connection, authors| async move {
                post::newest_of(&connection, &authors, REBUILD_POSTS.into()).await
            },
        );
        let (mut posts, mut failed) = (Vec::new(), None);
        for part in read.await {
            match part {
                Ok(part) => posts.extend(part),
                Err(error) => failed = Some(error),
            }
        }
        posts.sort_unstable_by(|a, b| b.cmp(a));
        posts.truncate(MAX_POSTS);
        Ok((posts, failed))
    }
}

fn count_lookup(outcome: &'static str) {
    metrics::counter!("fowergram_cache_requests_total", "cache" => "feed", "outcome" => outcome).increment(1);
}
