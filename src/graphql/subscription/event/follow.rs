//! Who begins to follow the viewer.

use std::sync::Arc;

use async_graphql::SimpleObject;
use time::OffsetDateTime;

use super::head::Head;
use crate::graphql::follow::FollowState;
use crate::graphql::scalar::{Cursor, DateTime};
use crate::graphql::user::User;
use crate::store::user;

/// Somebody has followed the viewer.
#[derive(SimpleObject)]
pub struct FollowEvent {
    pub cursor: Cursor,
    pub replayed: bool,
    pub at: DateTime,
    user: User,
    /// Whether the user follows the viewer at the time of delivery.
    state: FollowState,
}

impl FollowEvent {
    pub fn new(head: Head, user: Arc<user::Model>, follows: bool, at: OffsetDateTime) -> Self {
        let Head { cursor, replayed } = head;
        let state = if follows { FollowState::Following } else { FollowState::None };
        Self { cursor, replayed, at: at.into(), user: user.into(), state }
    }
}
