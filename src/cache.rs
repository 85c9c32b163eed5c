//! Redis.

use crate::domain::Result;
use crate::domain::id::{PostId, UserId};
use crate::live::Position;

/// The feeds.
#[derive(Clone, Default)]
pub struct Feeds;

/// What changed in a feed behind a position.
#[derive(Debug)]
pub enum FeedChanges {
    /// Number, post, removed.
    Changes(Vec<(i64, PostId, bool)>),
    /// The history is gone; read the feed again and go on from here.
    Gap(Position),
}

impl Feeds {
    #[expect(clippy::unused_async, reason = "will ask Redis")]
    pub async fn position(&self, _user: UserId) -> Result<Option<Position>> {
        Ok(None)
    }

    #[expect(clippy::unused_async, reason = "will ask Redis")]
    pub async fn changes(&self, _user: UserId, _after: Position, _limit: usize) -> Result<FeedChanges> {
        Ok(FeedChanges::Changes(Vec::new()))
    }
}
