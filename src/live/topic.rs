//! What can be listened to, and what comes of it.

use std::sync::Arc;

use crate::model::event::{comments_subject, conversation_subject, feed_subject, receiver_subject};
use crate::model::feed::FeedChange;
use crate::model::id::{ConversationId, PostId, UserId};
use crate::model::stream::Position;
use crate::store::stream::Marker;
use crate::store::{comment, log, message};

/// What can be listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The messages of a conversation, and how far its members have read; numbered by its change counter.
    Conversation(ConversationId),
    /// A user's log.
    Receiver(UserId),
    /// What comes into, and goes from, a user's feed.
    Feed(UserId),
    /// The comments on a post.
    Comments(PostId),
}

impl Topic {
    /// Where NATS tells of it, behind the namespace.
    pub fn subject(self) -> String {
        match self {
            Self::Conversation(id) => format!("event.{}", conversation_subject(id)),
            Self::Receiver(user) => format!("event.{}", receiver_subject(user)),
            Self::Feed(user) => feed_subject(user),
            Self::Comments(post) => format!("event.{}", comments_subject(post)),
        }
    }
}

/// One change of a topic, in its newest state when it was read.
#[derive(Debug, Clone)]
pub enum Change {
    Message(Arc<message::Model>),
    /// How far somebody has read in a conversation.
    Read(Marker),
    Logged(Arc<log::Row>),
    Feed(FeedChange),
    Comment(Arc<comment::Model>),
}

/// A change and the position that a reader has after it.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub position: Position,
    pub change: Change,
}

/// The next changes in order.
#[derive(Debug, Clone)]
pub struct Changes {
    pub changes: Vec<Delivery>,
    /// Where their reader then stands: not before the last of them, and beyond it where what follows has
    /// no row to be told, as when somebody joins a conversation.
    pub reached: Position,
}

/// What there is behind a position.
#[derive(Debug, Clone)]
pub enum Found {
    Changes(Changes),
    /// The history from there on is gone, or another one; read the state anew and go on from here.
    Gap(Position),
}
