//! Who is typing, as it is sent between processes.

use serde::{Deserialize, Serialize};

use super::id::UserId;

/// Somebody is typing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typing {
    pub user: UserId,
    /// Unix ms.
    pub until: i64,
}
