//! Topics, and their changes.

use std::sync::Arc;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::event::{comments_subject, conversation_subject, feed_subject, receiver_subject};
use crate::model::feed::FeedChange;
use crate::model::id::{ConversationId, PostId, UserId, millis_of};
use crate::model::stream::Position;
use crate::store::stream::Marker;
use crate::store::{comment, log, message};

/// What can be listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Messages and read markers of a conversation, numbered by its change counter.
    Conversation(ConversationId),
    /// A user's log.
    Receiver(UserId),
    /// Additions to and removals from a user's feed.
    Feed(UserId),
    /// The comments on a post.
    Comments(PostId),
}

impl Topic {
    /// The NATS subject, without the namespace.
    pub fn subject(self) -> String {
        match self {
            Self::Conversation(id) => format!("event.{}", conversation_subject(id)),
            Self::Receiver(user) => format!("event.{}", receiver_subject(user)),
            Self::Feed(user) => feed_subject(user),
            Self::Comments(post) => format!("event.{}", comments_subject(post)),
        }
    }
}

/// One change of a topic, in the newest state when it was read.
#[derive(Debug, Clone)]
pub enum Change {
    Message(Arc<message::Model>),
    /// How far somebody has read in a conversation.
    Read(Marker),
    Logged(Arc<log::Row>),
    Feed(FeedChange),
    Comment(Arc<comment::Model>),
}

impl Change {
    /// When it was made, if it says so.
    pub fn made_at(&self) -> Option<OffsetDateTime> {
        match self {
            Self::Message(row) => Some(row.changed_at.unwrap_or(row.created_at)),
            Self::Logged(row) => Some(row.at),
            Self::Comment(row) => Some(row.created_at),
            Self::Feed(change) if !change.removed => time_of(change.post.uuid()),
            Self::Feed(_) | Self::Read(_) => None,
        }
    }
}

/// The time in an id.
fn time_of(id: Uuid) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis_of(id)) * 1_000_000).ok()
}

/// A change, and the reader's position after it.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub position: Position,
    pub change: Change,
}

/// The next changes in order.
#[derive(Debug, Clone)]
pub struct Changes {
    pub changes: Vec<Delivery>,
    /// The reader's position after them: that of the last change, or beyond if the following changes have no
    /// row to deliver, as when somebody joins a conversation.
    pub reached: Position,
}

/// The result of reading after a position.
#[derive(Debug, Clone)]
pub enum Found {
    Changes(Changes),
    /// The history after the position is gone. Read the current state and continue from here.
    Gap(Position),
}
