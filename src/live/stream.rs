//! The stream of one listener: all changes after a position in order, then each new one.

use std::collections::VecDeque;

use futures_util::Stream;
use futures_util::stream::unfold;

use super::source::RETRY;
use super::topic::{Delivery, Found};
use super::topics::TopicHandle;
use crate::model::stream::Position;
use crate::model::{Error, Result};

/// How many changes are read at once; permissions are checked before each read.
const PAGE: usize = 50;

/// A change prepared for one listener.
#[derive(Debug, Clone)]
pub struct Ready<T> {
    pub position: Position,
    /// `None` if it can't be read now.
    pub what: Option<T>,
}

/// An item of the stream.
#[derive(Debug, Clone)]
pub enum Item<T> {
    Change {
        position: Position,
        what: T,
        /// The listener's position before this read: newer changes are new to the listener.
        since: Position,
        /// From before the listener subscribed.
        replayed: bool,
    },
    /// The history after the listener's position is gone; continue from here.
    Gap { resume: Position },
    /// The change at this position can't be read now.
    Unavailable { position: Position },
}

impl<T> Item<T> {
    /// The listener's position after it.
    pub const fn position(&self) -> Position {
        match self {
            Self::Change { position, .. }
            | Self::Gap { resume: position }
            | Self::Unavailable { position } => *position,
        }
    }
}

struct Reader<T, P> {
    handle: TopicHandle,
    position: Position,
    since: Position,
    pending: VecDeque<Ready<T>>,
    was_full: bool,
    prepare: P,
    ended: bool,
}

/// The changes after `after`, or from now on. `prepare` prepares each page for the listener: it leaves out
/// what the listener must not see, and ends the stream by an error. It is also called when the topic advances
/// without a change to deliver, as when somebody leaves a conversation. The stream waits for a shard that is
/// down, and does not end when the process stops: its owner drops it.
pub fn stream<T, P, F>(
    handle: TopicHandle,
    after: Option<Position>,
    prepare: P,
) -> impl Stream<Item = Result<Item<T>>>
where
    P: Fn(Vec<Delivery>) -> F,
    F: Future<Output = Result<Vec<Ready<T>>>>,
{
    let position = after.unwrap_or(handle.attached());
    let reader = Reader {
        handle,
        position,
        since: position,
        pending: VecDeque::new(),
        was_full: false,
        prepare,
        ended: false,
    };
    unfold(reader, |mut reader| async move {
        if reader.ended {
            return None;
        }
        let item = reader.next().await;
        reader.ended = item.is_err();
        Some((item, reader))
    })
}

impl<T, P, F> Reader<T, P>
where
    P: Fn(Vec<Delivery>) -> F,
    F: Future<Output = Result<Vec<Ready<T>>>>,
{
    async fn next(&mut self) -> Result<Item<T>> {
        loop {
            if let Some(ready) = self.pending.pop_front() {
                return Ok(self.tell(ready));
            }
            // Boxed, to take no space while a listener waits.
            match Box::pin(self.read()).await {
                Err(Error::ShardUnavailable | Error::StorageUnavailable | Error::Timeout) => {
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => return Err(error),
                Ok(Some(gap)) => return Ok(gap),
                Ok(None) if self.pending.is_empty() => self.handle.wait_beyond(self.position).await,
                Ok(None) => {}
            }
        }
    }

    fn tell(&self, Ready { position, what }: Ready<T>) -> Item<T> {
        let Some(what) = what else { return Item::Unavailable { position } };
        let attached = self.handle.attached();
        let replayed = position.generation == attached.generation && position.n <= attached.n;
        metrics::counter!("fowergram_live_changes_delivered_total").increment(1);
        Item::Change { position, what, since: self.since, replayed }
    }

    /// Reads the next page; reports a gap.
    async fn read(&mut self) -> Result<Option<Item<T>>> {
        let found = match self.handle.changes(self.position, PAGE).await? {
            Found::Changes(found) => found,
            Found::Gap(resume) => {
                (self.position, self.since) = (resume, resume);
                return Ok(Some(Item::Gap { resume }));
            }
        };
        if found.reached == self.position {
            return Ok(None);
        }
        let is_full = found.changes.len() == PAGE;
        let ready = (self.prepare)(found.changes).await?;
        // After a full page, more is to be read.
        if !self.was_full {
            self.since = self.position;
        }
        self.was_full = is_full;
        self.position = found.reached;
        self.pending = ready.into();
        Ok(None)
    }
}
