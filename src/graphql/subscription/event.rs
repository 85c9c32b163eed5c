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

/// An event of a subscription.
#[derive(Interface)]
#[graphql(
    field(name = "cursor", ty = "&Cursor", desc = "Pass it as `after` to continue after this event."),
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

/// Some events could not be delivered. `STREAM_GAP`: they are older than the kept history and gone for good; read the
/// state again and continue from `resumeFrom`. `SHARD_UNAVAILABLE`: their shard can't be read at the moment; the
/// stream continues without them, and a later subscription from `resumeFrom` delivers them.
#[derive(SimpleObject)]
pub struct StreamGap {
    pub cursor: Cursor,
    pub replayed: bool,
    pub at: DateTime,
    pub reason: ErrorCode,
    pub resume_from: Cursor,
}
