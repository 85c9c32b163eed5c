//! Accounts: who somebody is, and in which state.

use time::OffsetDateTime;

use super::id::{SessionId, UserId};

/// The signed-in caller of a request, from a verified access token.
#[derive(Debug, Clone)]
pub struct Viewer {
    pub user: UserId,
    pub session: SessionId,
    pub expires_at: OffsetDateTime,
}

/// What an account may do beyond its own. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum Role {
    User = 0,
    Moderator = 1,
    Admin = 2,
}

/// The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum AccountState {
    Active = 0,
    Deactivated = 1,
    Suspended = 2,
    PendingDeletion = 3,
    /// Never an account: the reconciler's mark that a stalled sign-up can't come true any more.
    Aborted = 9,
}
