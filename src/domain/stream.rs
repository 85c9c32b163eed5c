//! Numbered streams: what a cursor of a live stream says.

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
