//! What hashtags and mentions have in common: where they may not stand, and how many count.

use std::ops::Range;

use linkify::{LinkFinder, LinkKind};

/// The most hashtags, and the most mentions, that count in one text.
pub const MAX_TAGS: usize = 30;

/// Where web addresses stand in a text.
pub struct Links(Vec<Range<usize>>);

impl Links {
    pub fn of(text: &str) -> Self {
        let mut finder = LinkFinder::new();
        finder.kinds(&[LinkKind::Url]).url_must_have_scheme(false);
        Self(finder.links(text).map(|link| link.start()..link.end()).collect())
    }

    /// Whether the character at this place belongs to one.
    pub fn contain(&self, place: usize) -> bool {
        self.0.iter().any(|link| link.contains(&place))
    }
}

/// Each name once, in their order, [`MAX_TAGS`] of them.
pub fn first_of_each(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for name in names {
        if all.len() < MAX_TAGS && !all.contains(&name) {
            all.push(name);
        }
    }
    all
}
