//! Who asks.

use time::OffsetDateTime;

use crate::model::id::{SessionId, UserId};

/// The signed-in caller of a request, from a verified access token.
#[derive(Debug, Clone)]
pub struct Viewer {
    pub user: UserId,
    pub session: SessionId,
    pub expires_at: OffsetDateTime,
}
