//! The events of all streams.

mod feed;
mod follow;
mod head;
mod message;
mod notification;
mod post;
mod session;

use async_graphql::{Interface, SimpleObject};

use crate::graphql::code::ErrorCode;
use crate::graphql::scalar::{Cursor, DateTime};
pub use feed::FeedEvent;
pub use follow::FollowEvent;
pub use head::Head;
pub use message::{MessageEvent, ReadEvent};
pub use notification::NotificationEvent;
pub use post::PostEvent;
pub use session::SessionEvent;

/// Something that happened.
#[derive(Interface)]
#[graphql(
    field(name = "cursor", ty = "&Cursor", desc = "Subscribe with it to go on behind this event."),
    field(name = "replayed", ty = "&bool", desc = "Whether it happened before the subscription began."),
    field(name = "at", ty = "&DateTime")
)]
pub enum Event {
    Message(MessageEvent),
    Read(ReadEvent),
    Notification(NotificationEvent),
    Feed(FeedEvent),
    Follow(FollowEvent),
    Session(SessionEvent),
    Post(PostEvent),
    Gap(StreamGap),
}

/// Some events are not told: gone for good, being older than the kept history (`STREAM_GAP`), then read the
/// state anew and go on from resumeFrom; or their shard can't be read now (`SHARD_UNAVAILABLE`), then the
/// stream goes on without them, and who subscribes later with resumeFrom is told them.
#[derive(SimpleObject)]
pub struct StreamGap {
    pub cursor: Cursor,
    pub replayed: bool,
    pub at: DateTime,
    pub reason: ErrorCode,
    pub resume_from: Cursor,
}
