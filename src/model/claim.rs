//! Names that only one account may have, as they are claimed.

use super::id::Slot;

/// What kind of name. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ClaimKind {
    Username = 0,
    Email = 1,
}

impl ClaimKind {
    /// As it is stored.
    pub fn column(self) -> i16 {
        i16::from(self as u8)
    }
}

/// The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum ClaimState {
    /// Taken for a sign-up or a change of name that is under way.
    Pending = 0,
    Confirmed = 1,
    /// Given up: taken for others until its time is up, free for its former owner.
    Resting = 2,
}

/// A name as it is claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    kind: ClaimKind,
    text: String,
}

impl Name {
    /// `text` is in the normal form of its kind.
    pub fn new(kind: ClaimKind, text: String) -> Self {
        Self { kind, text }
    }

    pub fn kind(&self) -> ClaimKind {
        self.kind
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the claim lies.
    pub fn slot(&self) -> Slot {
        Slot::of_bytes(&[&[self.kind as u8], self.text.as_bytes()].concat())
    }
}
