//! What is known of a feed before its posts are read.

use super::id::PostId;
use super::stream::Position;

/// Which posts a page has, before anything is known of them.
#[derive(Debug, Clone)]
pub struct Skeleton {
    /// Newest first.
    pub posts: Vec<PostId>,
    /// Unix ms.
    pub built_at: i64,
    pub rebuilding: bool,
    pub degraded: bool,
}

/// One change of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedChange {
    pub n: i64,
    pub post: PostId,
    pub removed: bool,
}

/// The changes of a feed behind a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedChanges {
    Changes(Vec<FeedChange>),
    /// Some are gone for good: read the feed anew and go on from here.
    Gap(Position),
}
