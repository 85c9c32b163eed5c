//! Who may comment on a post, or begin to write to a person, as it is stored.

/// Who may comment on a post, or begin to write to a person. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[repr(i16)]
pub enum ContactPolicy {
    Everyone = 0,
    Followers = 1,
    Nobody = 2,
}

impl ContactPolicy {
    /// From its stored number; an unknown one is the strictest.
    pub const fn from_row(number: i16) -> Self {
        match number {
            0 => Self::Everyone,
            1 => Self::Followers,
            _ => Self::Nobody,
        }
    }

    /// Whether it lets somebody in who follows the one whose it is, or does not.
    pub const fn admits(self, follows: bool) -> bool {
        match self {
            Self::Everyone => true,
            Self::Followers => follows,
            Self::Nobody => false,
        }
    }
}
