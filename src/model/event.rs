//! What happened, told to the other shards, to caches and to listeners.
//!
//! An event is written to the outbox in the transaction that it tells of, so that it exists exactly when
//! the change does. It may be delivered more than once and out of order: each effect is unique by the
//! event's id, by a version or by a key.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::id::{CommentId, ConversationId, MediaId, PostId, UserId};
use super::trace::TraceParent;
use super::{Error, Result};

/// All events. The names are stored: they are never changed, only added to.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    PostCreated {
        post: PostId,
        author: UserId,
        hashtags: Vec<String>,
        mentions: Vec<UserId>,
    },
    /// The caption changed. `version` is the time of the edit, unix ms.
    PostUpdated {
        post: PostId,
        author: UserId,
        version: i64,
        hashtags_removed: Vec<String>,
        hashtags_added: Vec<String>,
        mentions_added: Vec<UserId>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        mentions_removed: Vec<UserId>,
    },
    PostDeleted {
        post: PostId,
        author: UserId,
        version: i64,
        hashtags: Vec<String>,
    },
    PostLiked {
        post: PostId,
        author: UserId,
        user: UserId,
        active: bool,
        version: i64,
    },
    CommentCreated {
        comment: CommentId,
        post: PostId,
        post_author: UserId,
        author: UserId,
        /// Whom the comment answers, where it is a reply.
        parent_author: Option<UserId>,
        mentions: Vec<UserId>,
        /// Its number in the post; none in events from before there were numbers.
        #[serde(default)]
        n: Option<i64>,
    },
    UserFollowed {
        user: UserId,
        follower: UserId,
        active: bool,
        version: i64,
        /// Whether the user has accepted a request.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        accepted: bool,
    },
    /// Somebody asks to follow a private account; or the request has ended.
    FollowRequested {
        user: UserId,
        follower: UserId,
        active: bool,
        version: i64,
    },
    /// A private account became public.
    AccountOpened {
        user: UserId,
    },
    MediaUploaded {
        media: MediaId,
    },
    /// A conversation's rows changed; `change` is its counter after it.
    ConversationChanged {
        conversation: ConversationId,
        change: i64,
        /// Set where the change is a new message.
        sent: Option<Sent>,
        /// Who took part before it, and does not any more.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<UserId>,
    },
    /// Somebody has read a conversation up to the message with this number.
    ConversationRead {
        conversation: ConversationId,
        user: UserId,
        seq: i32,
        /// Unix ms.
        at: i64,
    },
    /// A row was added to a user's log; `n` is its number.
    ReceiverLogged {
        user: UserId,
        n: i64,
    },
}

/// An event, with the span that it was emitted in. Those who don't know of traces read the event alone.
#[derive(Debug, Serialize)]
pub struct Traced<'a> {
    #[serde(flatten)]
    event: &'a Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<TraceParent>,
}

impl<'a> Traced<'a> {
    /// In the current span.
    pub fn here(event: &'a Event) -> Self {
        Self { event, traceparent: TraceParent::current() }
    }

    /// As it is stored and published.
    pub fn payload(&self) -> Result<String> {
        match self.traceparent {
            Some(_) => serde_json::to_string(self),
            None => serde_json::to_string(self.event),
        }
        .map_err(Error::internal)
    }
}

/// The span in which an event with this payload was emitted.
pub fn trace_parent(payload: &[u8]) -> Option<TraceParent> {
    #[derive(Deserialize)]
    struct Emitted {
        traceparent: Option<TraceParent>,
    }
    serde_json::from_slice::<Emitted>(payload).ok()?.traceparent
}

/// An event as it lies in the outbox.
#[derive(Debug, Clone)]
pub struct OutboxRow {
    pub id: Uuid,
    /// Without the namespace, which a cluster may change.
    pub subject: String,
    pub payload: String,
}

/// A new message, for inboxes and notifications.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sent {
    pub seq: i32,
    pub sender: UserId,
    /// Whose inbox it goes to, the sender's included.
    pub members: Vec<UserId>,
    /// Unix ms.
    pub at: i64,
}

impl Event {
    /// The NATS subject behind `<namespace>.event.`; listeners of one conversation, post or user
    /// subscribe to just theirs.
    pub fn subject(&self) -> String {
        match self {
            Self::PostCreated { .. } => "post.created".to_owned(),
            Self::PostUpdated { .. } => "post.updated".to_owned(),
            Self::PostDeleted { .. } => "post.deleted".to_owned(),
            Self::PostLiked { post, .. } => likes_subject(*post),
            Self::CommentCreated { post, .. } => comments_subject(*post),
            Self::UserFollowed { .. } => "user.followed".to_owned(),
            Self::FollowRequested { .. } => "user.requested".to_owned(),
            Self::AccountOpened { .. } => "user.opened".to_owned(),
            Self::MediaUploaded { .. } => "media.uploaded".to_owned(),
            Self::ConversationChanged { conversation, .. } => conversation_subject(*conversation),
            Self::ConversationRead { .. } => "read.conversation".to_owned(),
            Self::ReceiverLogged { user, .. } => receiver_subject(*user),
        }
    }
}

/// Where the likes of one post are told.
pub fn likes_subject(post: PostId) -> String {
    format!("post.liked.{post}")
}

/// Where the comments on one post are told.
pub fn comments_subject(post: PostId) -> String {
    format!("comment.created.{post}")
}

/// Where the changes of one conversation are told.
pub fn conversation_subject(conversation: ConversationId) -> String {
    format!("conversation.{conversation}")
}

/// Where the log of one user is told.
pub fn receiver_subject(user: UserId) -> String {
    format!("receiver.{user}")
}

/// Where the changes of one user's feed are told: behind the namespace, for nobody keeps them.
pub fn feed_subject(user: UserId) -> String {
    format!("live.feed.{user}")
}

/// Where it is told who is typing in one conversation: behind the namespace, for nobody keeps it.
pub fn typing_subject(conversation: ConversationId) -> String {
    format!("live.typing.{conversation}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Clock;
    use crate::model::id::Slot;

    #[test]
    fn an_event_is_read_with_and_without_its_trace() {
        let user = UserId::make(&Clock::system(), Slot::random());
        let event = Event::ReceiverLogged { user, n: 7 };
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let traced = Traced { event: &event, traceparent: TraceParent::given(parent) };
        let payload = traced.payload().expect("JSON");
        assert_eq!(trace_parent(payload.as_bytes()), TraceParent::given(parent));
        // As a process of a release without traces reads it.
        let read: Event = serde_json::from_str(&payload).expect("an event");
        assert_eq!(serde_json::to_value(&read).expect("JSON"), serde_json::to_value(&event).expect("JSON"));
        let plain = Traced::here(&event).payload().expect("JSON");
        assert!(!plain.contains("traceparent") && trace_parent(plain.as_bytes()).is_none());
    }
}
