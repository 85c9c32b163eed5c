//! From the items of a topic to events.

use async_graphql::{Context, Result};
use futures_util::{Stream, StreamExt};

use super::event::{Event, Head, StreamGap};
use crate::graphql::code::ErrorCode;
use crate::graphql::context::ContextExt;
use crate::graphql::scalar::Cursor;
use crate::live::{self, Delivery, Item, Position, Ready, Topic, cursor};
use crate::model::{Clock, Error};

/// Listens to a topic, and makes events of what is made ready for its listener. `present` is also given up to
/// where the listener knew all.
pub async fn events<T, P, F, E>(
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
pub fn event<T>(
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
        Item::Unavailable { position } => {
            let before = Position { n: position.n - 1, ..position };
            gap(ErrorCode::ShardUnavailable, cursor(position), cursor(before))
        }
        Item::Change { position, what, since, replayed } => {
            present(Head { cursor: cursor(position), replayed }, what, since)
        }
    }
}
