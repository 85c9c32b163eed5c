//! The end of a session.

use async_graphql::SimpleObject;

use crate::graphql::code::ErrorCode;
use crate::graphql::scalar::{Cursor, DateTime};

/// The session has ended, and the connection is closed.
#[derive(SimpleObject)]
pub struct SessionEvent {
    pub cursor: Cursor,
    pub replayed: bool,
    pub at: DateTime,
    pub reason: ErrorCode,
}
