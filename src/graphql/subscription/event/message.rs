//! What happens in a conversation.

use std::sync::Arc;

use async_graphql::{Enum, ID, SimpleObject};

use super::head::Head;
use crate::graphql::conversation::ReadMarker;
use crate::graphql::message::Message;
use crate::graphql::scalar::{Cursor, DateTime};
use crate::store::message;
use crate::store::stream::Marker;

/// What happened to a message. The event carries the message in its newest state, so a client can replace its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum MessageChange {
    Sent,
    Edited,
    Deleted,
    Reacted,
}

impl MessageChange {
    /// What the change is to somebody who knew all up to the counter `since`.
    fn of(row: &message::Model, since: i64) -> Self {
        if row.sent_change > since {
            Self::Sent
        } else if row.deleted_at.is_some() {
            Self::Deleted
        } else if row.edited_change > since {
            Self::Edited
        } else {
            Self::Reacted
        }
    }
}

#[derive(SimpleObject)]
pub struct MessageEvent {
    pub cursor: Cursor,
    pub replayed: bool,
    pub at: DateTime,
    message: Message,
    change: MessageChange,
}

/// A member has read a conversation up to a message.
#[derive(SimpleObject)]
pub struct ReadEvent {
    pub cursor: Cursor,
    pub replayed: bool,
    pub at: DateTime,
    conversation_id: ID,
    marker: ReadMarker,
}

impl MessageEvent {
    /// For somebody who knew all up to the counter `since`.
    pub fn new(head: Head, row: Arc<message::Model>, since: i64) -> Self {
        let Head { cursor, replayed } = head;
        let change = MessageChange::of(&row, since);
        let at = match change {
            MessageChange::Sent => Some(row.created_at),
            MessageChange::Edited | MessageChange::Deleted | MessageChange::Reacted => row.changed_at,
        };
        let at = at.unwrap_or(row.created_at).into();
        Self { cursor, replayed, at, message: row.into(), change }
    }
}

impl ReadEvent {
    pub fn new(head: Head, marker: &Marker) -> Self {
        let Head { cursor, replayed } = head;
        let conversation_id = ID::from(marker.conversation.uuid());
        let at = marker.at;
        let marker = ReadMarker::new(marker.user, marker.seq, at);
        Self { cursor, replayed, at: at.into(), conversation_id, marker }
    }
}
