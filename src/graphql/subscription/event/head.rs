//! What all events say.

use crate::graphql::scalar::Cursor;

/// Where an event stands in its stream.
pub struct Head {
    pub cursor: Cursor,
    pub replayed: bool,
}
