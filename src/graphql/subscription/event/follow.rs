//! Who begins to follow the viewer, or asks to.

use std::sync::Arc;

use async_graphql::SimpleObject;
use time::OffsetDateTime;

use super::head::Head;
use crate::graphql::follow::FollowState;
use crate::graphql::scalar::{Cursor, DateTime};
use crate::graphql::user::User;
use crate::model;
use crate::store::user;

/// Somebody has followed the viewer, or has asked to.
#[derive(SimpleObject)]
pub struct FollowEvent {
    pub cursor: Cursor,
    pub replayed: bool,
    pub at: DateTime,
    user: User,
    /// Whether the user follows the viewer, or still asks to, at the time of delivery.
    state: FollowState,
}

impl FollowEvent {
    pub fn new(
        head: Head,
        user: Arc<user::Model>,
        state: model::follow::FollowState,
        at: OffsetDateTime,
    ) -> Self {
        let Head { cursor, replayed } = head;
        Self { cursor, replayed, at: at.into(), user: user.into(), state: state.into() }
    }
}
