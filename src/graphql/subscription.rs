//! Live streams. Each event has a cursor; whoever subscribes again with the last one gets what was missed
//! and goes on live.

mod feed;
mod follow;
mod log;
mod message;
mod notification;
mod post;
mod typing;
mod viewer;

use async_graphql::{Context, Interface, MergedSubscription, Result, SimpleObject};
use futures_util::{Stream, StreamExt};

use super::code::ErrorCode;
use super::context::ContextExt;
use super::scalar::{Cursor, DateTime};
use crate::live::{self, Delivery, Item, Position, Ready, Topic, cursor};
use crate::model::{Clock, Error};
use feed::{FeedEvent, FeedSubscription};
use follow::{FollowEvent, FollowSubscription};
use message::{MessageEvent, MessageSubscription, ReadEvent};
use notification::{NotificationEvent, NotificationSubscription};
use post::{PostEvent, PostSubscription};
use typing::TypingSubscription;
use viewer::{SessionEvent, ViewerSubscription};

/// All subscriptions.
#[derive(Default, MergedSubscription)]
#[graphql(name = "Subscription")]
pub struct SubscriptionRoot(
    ViewerSubscription,
    MessageSubscription,
    NotificationSubscription,
    FeedSubscription,
    FollowSubscription,
    PostSubscription,
    TypingSubscription,
);

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
    cursor: Cursor,
    replayed: bool,
    at: DateTime,
    reason: ErrorCode,
    resume_from: Cursor,
}

/// What all events say.
struct Head {
    cursor: Cursor,
    replayed: bool,
}

/// Listens to a topic, and makes events of what is made ready for its listener. `present` is also given up to
/// where the listener knew all.
async fn events<T, P, F, E>(
    ctx: &Context<'_>,
    topic: Topic,
    after: Option<Cursor>,
    prepare: P,
    present: E,
) -> Result<impl Stream<Item = Result<Event>> + use<T, P, F, E>>
where
    E: Fn(Head, T, Position) -> Event,
    P: Fn(Vec<Delivery>) -> F,
    F: Future<Output = Result<Vec<Ready<T>>, Error>>,
{
    let after = after.as_ref().and_then(Cursor::given);
    let after = after.map(|text| cursor::decode(topic, text)).transpose()?;
    let handle = ctx.hub().attach(topic).await?;
    let clock = ctx.domain().clock.clone();
    Ok(live::stream(handle, after, prepare).map(move |item| {
        let cursor = |position| Cursor(cursor::encode(topic, position));
        Ok(event(item?, cursor, &clock, &present))
    }))
}

/// Makes an event of an item.
fn event<T>(
    item: Item<T>,
    cursor: impl Fn(Position) -> Cursor,
    clock: &Clock,
    present: impl FnOnce(Head, T, Position) -> Event,
) -> Event {
    let gap = |reason, cursor, resume_from| {
        Event::Gap(StreamGap { cursor, replayed: true, at: clock.now().into(), reason, resume_from })
    };
    match item {
        Item::Gap { resume } => gap(ErrorCode::StreamGap, cursor(resume), cursor(resume)),
        Item::Away { position } => {
            let before = Position { n: position.n - 1, ..position };
            gap(ErrorCode::ShardUnavailable, cursor(position), cursor(before))
        }
        Item::Change { position, what, since, replayed } => {
            present(Head { cursor: cursor(position), replayed }, what, since)
        }
    }
}
