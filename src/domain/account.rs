//! PLACEHOLDER.

use time::OffsetDateTime;

use super::id::{SessionId, UserId};

/// PLACEHOLDER.
#[derive(Debug, Clone)]
pub struct Viewer {
    pub user: UserId,
    pub session: SessionId,
    pub expires_at: OffsetDateTime,
}
