//! How one user stands to another's account.

/// Whether somebody follows an account, or has asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowState {
    None,
    /// The account is private, and has not answered yet.
    Requested,
    Following,
}

impl FollowState {
    pub const fn of(follows: bool, has_asked: bool) -> Self {
        match (follows, has_asked) {
            (true, _) => Self::Following,
            (false, true) => Self::Requested,
            (false, false) => Self::None,
        }
    }
}
