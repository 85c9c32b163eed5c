//! Numbered streams: what a cursor of a live stream says.

/// A place in a stream: all changes up to number `n` are behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Which history the numbers belong to: 0 for streams that are read from rows, drawn anew for each
    /// build of a feed.
    pub generation: u64,
    pub n: i64,
}
