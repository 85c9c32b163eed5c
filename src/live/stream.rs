//! What one listener gets: all changes behind a position in order, then each new one.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;

use super::{Delivery, Found, Position, TopicHandle};
use crate::domain::{Error, Result};

/// How many changes are taken at once; what a listener may read is decided before each time.
const PAGE: usize = 50;
/// How long to wait before a shard that did not answer is asked again.
const RETRY: Duration = Duration::from_millis(500);

/// What a listener is told.
#[derive(Debug, Clone)]
pub enum Item {
    Change {
        delivery: Delivery,
        /// How far the listener knew all when this was read: what is newer is new to the listener.
        since: Position,
        /// From before the listener came.
        replayed: bool,
    },
    /// The history behind the listener's position is gone; it goes on from here.
    Gap { resume: Position },
}

struct Reader<A> {
    handle: TopicHandle,
    position: Position,
    since: Position,
    pending: VecDeque<Delivery>,
    was_full: bool,
    allowed: A,
    ended: bool,
}

/// The changes behind `after`, or from now on. `allowed` is asked before each page of changes is told; its
/// refusal ends the stream. A shard that can't be reached does not: the stream waits for it. Nor does the
/// end of the process: who holds the stream drops it then.
pub fn stream<A, F>(
    handle: TopicHandle,
    after: Option<Position>,
    allowed: A,
) -> impl Stream<Item = Result<Item>>
where
    A: Fn() -> F,
    F: Future<Output = Result<()>>,
{
    let position = after.unwrap_or(handle.attached());
    let reader = Reader {
        handle,
        position,
        since: position,
        pending: VecDeque::new(),
        was_full: false,
        allowed,
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

impl<A, F> Reader<A>
where
    A: Fn() -> F,
    F: Future<Output = Result<()>>,
{
    async fn next(&mut self) -> Result<Item> {
        loop {
            if let Some(delivery) = self.pending.pop_front() {
                return Ok(self.tell(delivery));
            }
            match self.read().await {
                Err(Error::ShardUnavailable | Error::Timeout) => tokio::time::sleep(RETRY).await,
                Err(error) => return Err(error),
                Ok(Some(gap)) => return Ok(gap),
                Ok(None) if self.pending.is_empty() => self.handle.wait_beyond(self.position).await,
                Ok(None) => {}
            }
        }
    }

    fn tell(&self, delivery: Delivery) -> Item {
        let attached = self.handle.attached();
        let position = delivery.position;
        let replayed = position.generation == attached.generation && position.n <= attached.n;
        metrics::counter!("fowergram_live_changes_delivered_total").increment(1);
        Item::Change { delivery, since: self.since, replayed }
    }

    /// Takes the next page; tells of a gap.
    async fn read(&mut self) -> Result<Option<Item>> {
        let found = match self.handle.changes(self.position, PAGE).await? {
            Found::Changes(found) => found,
            Found::Gap(resume) => {
                (self.position, self.since) = (resume, resume);
                return Ok(Some(Item::Gap { resume }));
            }
        };
        if !found.changes.is_empty() {
            (self.allowed)().await?;
        }
        // Behind a full page comes more of what the listener has yet to hear of.
        if !self.was_full {
            self.since = self.position;
        }
        self.was_full = found.changes.len() == PAGE;
        self.position = found.reached;
        self.pending = found.changes.into();
        Ok(None)
    }
}
