//! What one listener gets: all changes behind a position in order, then each new one.

use std::collections::VecDeque;

use futures_util::Stream;
use futures_util::stream::unfold;

use super::source::RETRY;
use super::topic::{Delivery, Found};
use super::topics::TopicHandle;
use crate::model::stream::Position;
use crate::model::{Error, Result};

/// How many changes are taken at once; what a listener may read is decided before each time.
const PAGE: usize = 50;

/// A change made ready for one listener.
#[derive(Debug, Clone)]
pub struct Ready<T> {
    pub position: Position,
    /// Nothing where what there is to tell can't be read now.
    pub what: Option<T>,
}

/// What a listener is told.
#[derive(Debug, Clone)]
pub enum Item<T> {
    Change {
        position: Position,
        what: T,
        /// How far the listener knew all when this was read: what is newer is new to the listener.
        since: Position,
        /// From before the listener came.
        replayed: bool,
    },
    /// The history behind the listener's position is gone; it goes on from here.
    Gap { resume: Position },
    /// The change at this position can't be read now.
    Unavailable { position: Position },
}

impl<T> Item<T> {
    /// Where the listener stands behind it.
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

/// The changes behind `after`, or from now on. `prepare` makes each page of changes ready for the listener:
/// it leaves out what is not for it, and its refusal ends the stream. It is also asked where the topic went
/// on without a change to be told, as when somebody leaves a conversation. A shard that can't be reached
/// does not end the stream, which waits for it. Nor does the end of the process: who holds the stream drops
/// it then.
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
            // Boxed: while a listener waits, which is most of the time, it holds no room for a read.
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

    /// Takes the next page; tells of a gap.
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
        // Behind a full page comes more of what the listener has yet to hear of.
        if !self.was_full {
            self.since = self.position;
        }
        self.was_full = is_full;
        self.position = found.reached;
        self.pending = ready.into();
        Ok(None)
    }
}
