//! What is looked at, in which order.

use std::str::FromStr;

use crate::store::audit::counter::{COUNTERS, Counter};
use crate::store::edge::Table;

/// Something that can be looked at by itself. In the order in which it is done: what is mended first
/// does not have to be mended again because of what comes later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Each shard's migrations are those of this binary.
    Schema,
    /// Events are published.
    Outbox,
    /// Rows lie in the shard that owns their slot.
    Placement,
    /// Names are claimed by those who have them.
    Claims,
    Follows,
    Likes,
    Hashtags,
    Inbox,
    /// Notifications are of what is there.
    Notifications,
    Counters,
    /// Images have their objects, and objects their image.
    Media,
}

impl Check {
    pub const ALL: [Self; 11] = [
        Self::Schema,
        Self::Outbox,
        Self::Placement,
        Self::Claims,
        Self::Follows,
        Self::Likes,
        Self::Hashtags,
        Self::Inbox,
        Self::Notifications,
        Self::Counters,
        Self::Media,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Outbox => "outbox",
            Self::Placement => "placement",
            Self::Claims => "claims",
            Self::Follows => "follows",
            Self::Likes => "likes",
            Self::Hashtags => "hashtags",
            Self::Inbox => "inbox",
            Self::Notifications => "notifications",
            Self::Counters => "counters",
            Self::Media => "media",
        }
    }

    /// The check's parts, a line of the report each.
    pub(super) fn parts(self) -> Vec<Part> {
        match self {
            Self::Schema => vec![Part::Schema],
            Self::Outbox => vec![Part::Outbox],
            Self::Placement => vec![Part::Placement],
            Self::Claims => vec![Part::Claims, Part::Names],
            Self::Follows => vec![Part::Edges(Mirror::Following)],
            Self::Likes => vec![Part::Edges(Mirror::Liked)],
            Self::Hashtags => vec![Part::Hashtags],
            Self::Inbox => vec![Part::Inbox],
            Self::Notifications => vec![Part::Notifications],
            Self::Counters => COUNTERS.iter().map(Part::Counter).chain([Part::TagCounts]).collect(),
            Self::Media => vec![Part::Media],
        }
    }
}

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::name);
        let found = Self::ALL.into_iter().find(|check| check.name() == text);
        found.ok_or_else(|| format!("the checks are {}", known.join(", ")))
    }
}

/// A line of the report for each shard.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Schema,
    Outbox,
    Placement,
    Claims,
    Names,
    Edges(Mirror),
    Hashtags,
    Inbox,
    Notifications,
    Counter(&'static Counter),
    TagCounts,
    Media,
}

impl Part {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Outbox => "outbox",
            Self::Placement => "placement",
            Self::Claims => "claims",
            Self::Names => "names",
            Self::Edges(Mirror::Following) => "following",
            Self::Edges(Mirror::Liked) => "liked",
            Self::Hashtags => "hashtag_posts",
            Self::Inbox => "inbox",
            Self::Notifications => "notifications",
            Self::Counter(counter) => counter.name,
            Self::TagCounts => "hashtags.post_count",
            Self::Media => "media",
        }
    }
}

/// A table that follows another. All pairs here are (owner, other) of the one that decides; the mirror's
/// are the other way round.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mirror {
    Following,
    Liked,
}

impl Mirror {
    pub const fn decides(self) -> Table {
        match self {
            Self::Following => Table::Followers,
            Self::Liked => Table::Likes,
        }
    }

    pub const fn follows(self) -> Table {
        match self {
            Self::Following => Table::Following,
            Self::Liked => Table::Liked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_found_by_its_name() {
        for check in Check::ALL {
            assert_eq!(check.name().parse(), Ok(check));
        }
        assert!("nonsense".parse::<Check>().is_err());
    }
}
