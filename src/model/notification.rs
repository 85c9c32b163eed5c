//! Why somebody is notified, and of what.

use time::OffsetDateTime;
use uuid::Uuid;

use super::id::{PostId, UserId};

/// Why somebody is told. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum Kind {
    Like = 1,
    Comment = 2,
    Reply = 3,
    Mention = 4,
    Follow = 5,
    Message = 6,
    FollowRequest = 7,
    FollowAccepted = 8,
}

impl Kind {
    /// All kinds that this program knows; a newer one may write others.
    pub const ALL: [Self; 8] = [
        Self::Like,
        Self::Comment,
        Self::Reply,
        Self::Mention,
        Self::Follow,
        Self::Message,
        Self::FollowRequest,
        Self::FollowAccepted,
    ];

    /// Whether what is told of can be taken back and done again, which tells nobody again.
    pub fn is_switched(self) -> bool {
        matches!(self, Self::Like | Self::Follow | Self::Mention | Self::FollowRequest)
    }

    /// The kind with this stored number.
    pub fn from_column(number: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as i16 == number)
    }
}

/// One thing that one person is told, or that is taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub receiver: UserId,
    pub kind: Kind,
    pub target: Uuid,
    pub actor: UserId,
    pub active: bool,
    /// Raised with each change of what the actor does to the target.
    pub version: i64,
    /// When the actor acted.
    pub at: OffsetDateTime,
    /// The post that it is about, or below which it is: gone, it notifies nobody.
    pub post: Option<PostId>,
    /// Of a message: the conversation's counter when it was sent.
    pub change: Option<i64>,
}
