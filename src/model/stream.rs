//! Numbered streams: what a cursor of a live stream says, and what a user's log tells of.

/// A place in a stream: all changes up to number `n` are behind it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Position {
    /// Which history the numbers belong to: 0 for streams that are read from rows, drawn anew for each
    /// build of a feed.
    pub generation: u64,
    pub n: i64,
}

impl Position {
    /// Whether somebody at `self` has something to read when the newest is `other`.
    pub fn is_behind(self, other: Self) -> bool {
        self.generation != other.generation || self.n < other.n
    }
}

/// What a row of a user's log tells of. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum LogTopic {
    /// A notification that is new, or that somebody was added to.
    Notification = 0,
    /// A message that was sent to a conversation of the user's, or changed there.
    Message = 1,
    /// How far somebody has read in a conversation.
    Read = 2,
    /// Somebody follows the user.
    Follow = 3,
}

impl LogTopic {
    /// The topic with this stored number; none for those of a newer program.
    pub fn from_column(number: i16) -> Option<Self> {
        [Self::Notification, Self::Message, Self::Read, Self::Follow]
            .into_iter()
            .find(|topic| *topic as i16 == number)
    }
}
