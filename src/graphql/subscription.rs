//! Live streams. Each event has a cursor; whoever subscribes again with the last one gets what was missed
//! and goes on live.

mod feed;
mod message;
mod notification;

use async_graphql::{Context, Interface, MergedSubscription, Result, SimpleObject};
use futures_util::{Stream, StreamExt};

use super::code::ErrorCode;
use super::context::ContextExt;
use super::scalar::{Cursor, DateTime};
use crate::domain::{Clock, Error};
use crate::live::{self, Change, Item, Topic, cursor};
use feed::{FeedEvent, FeedSubscription};
use message::{MessageEvent, MessageSubscription};
use notification::{NotificationEvent, NotificationSubscription};

#[derive(Default, MergedSubscription)]
#[graphql(name = "Subscription")]
pub struct SubscriptionRoot(MessageSubscription, NotificationSubscription, FeedSubscription);

/// Something that happened.
#[derive(Interface)]
#[graphql(
    field(name = "cursor", ty = "&Cursor", desc = "Subscribe with it to go on behind this event."),
    field(name = "replayed", ty = "&bool", desc = "Whether it happened before the subscription began."),
    field(name = "at", ty = "&DateTime")
)]
pub enum Event {
    Message(MessageEvent),
    Notification(NotificationEvent),
    Feed(FeedEvent),
    Gap(StreamGap),
}

/// Some events after the cursor are gone for good (older than the kept history): read the state anew and
/// go on from resumeFrom.
#[derive(SimpleObject)]
pub struct StreamGap {
    cursor: Cursor,
    replayed: bool,
    at: DateTime,
    reason: ErrorCode,
    resume_from: Cursor,
}

/// Listens to a topic and makes events of what it tells.
async fn events<A, F>(
    ctx: &Context<'_>,
    topic: Topic,
    after: Option<Cursor>,
    allowed: A,
) -> Result<impl Stream<Item = Result<Event>> + use<A, F>>
where
    A: Fn() -> F,
    F: Future<Output = Result<(), Error>>,
{
    let after = after.map(|text| cursor::decode(topic, &text.0)).transpose()?;
    let handle = ctx.hub().attach(topic).await?;
    let clock = ctx.domain().clock.clone();
    Ok(live::stream(handle, after, allowed).map(move |item| Ok(event(topic, item?, &clock))))
}

fn event(topic: Topic, item: Item, clock: &Clock) -> Event {
    match item {
        Item::Gap { resume } => {
            let cursor = Cursor(cursor::encode(topic, resume));
            let (resume_from, reason) = (cursor.clone(), ErrorCode::StreamGap);
            Event::Gap(StreamGap { cursor, replayed: true, at: clock.now().into(), reason, resume_from })
        }
        Item::Change { delivery, since, replayed } => {
            let cursor = Cursor(cursor::encode(topic, delivery.position));
            match delivery.change {
                Change::Message(row) => message::event(cursor, replayed, row, since.n),
                Change::Logged(row) => notification::event(cursor, replayed, &row),
                Change::Feed { post, removed } => feed::event(cursor, replayed, clock.now(), post, removed),
            }
        }
    }
}
