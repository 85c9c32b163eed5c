//! Batches point reads of many requests into one query.
//!
//! Keys that arrive while a query is running wait and are sent together in the next one. A shard sees one
//! statement at a time per table, however many requests there are, and under load the batches grow instead of
//! their number. A read is never added to a query that was already sent, so a read that starts after a commit
//! sees that commit.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

use super::shard::{Connection, Shard};
use crate::model::id::Slot;
use crate::model::trace::common_span;
use crate::model::{Error, Result};

/// The maximum number of keys in one statement; the rest wait for the next.
const MAX_KEYS: usize = 1000;
/// How many callers may wait for one table of one shard; more are refused. One event can make every listener
/// of its topic read at once, so this is larger than the default limit of sockets.
const QUEUE: usize = 32 * 1024;
/// How many times to yield to other tasks before checking for more keys.
const YIELDS: usize = 2;

/// A table, or a query on one, that is read by key.
pub trait Batch: Send + Sync + 'static {
    type Key: Copy + Eq + Hash + Debug + Send + Sync + 'static;
    type Row: Send + Sync + 'static;

    /// The slot in which the key's row lies.
    fn slot(key: &Self::Key) -> Slot;

    /// Reads all keys with one statement; absent rows are left out.
    fn fetch(
        connection: &Connection,
        keys: Vec<Self::Key>,
    ) -> impl Future<Output = Result<Vec<(Self::Key, Self::Row)>>> + Send;
}

type Found<B> = HashMap<<B as Batch>::Key, Arc<<B as Batch>::Row>>;

struct Ask<B: Batch> {
    keys: Vec<B::Key>,
    span: Span,
    answer: oneshot::Sender<Result<Arc<Found<B>>>>,
}

/// The queue of one table on one shard.
pub struct Coalescer<B: Batch> {
    asks: mpsc::Sender<Ask<B>>,
}

impl<B: Batch> Coalescer<B> {
    pub fn new(shard: Arc<Shard>, tasks: &TaskTracker) -> Self {
        let (asks, queue) = mpsc::channel(QUEUE);
        tasks.spawn(run::<B>(shard, queue));
        Self { asks }
    }

    /// Reads these keys. Keys without a row are missing from the result.
    pub async fn load(&self, keys: Vec<B::Key>) -> Result<Arc<Found<B>>> {
        let (answer, answered) = oneshot::channel();
        self.asks
            .try_send(Ask { keys, span: Span::current(), answer })
            .map_err(|_| Error::ShardUnavailable)?;
        answered.await.map_err(|_| Error::ShardUnavailable)?
    }
}

/// Ends when the last `Coalescer` is dropped.
async fn run<B: Batch>(shard: Arc<Shard>, mut queue: mpsc::Receiver<Ask<B>>) {
    while let Some(first) = queue.recv().await {
        let mut asks = vec![first];
        let mut waiting = asks[0].keys.len();
        // Let runnable requests add their keys first, so that a busy process sends fewer and larger queries.
        // When the process is idle this takes no time.
        loop {
            for _ in 0..YIELDS {
                tokio::task::yield_now().await;
            }
            let before = asks.len();
            while waiting < MAX_KEYS {
                let Ok(ask) = queue.try_recv() else { break };
                waiting += ask.keys.len();
                asks.push(ask);
            }
            if asks.len() == before || waiting >= MAX_KEYS {
                break;
            }
        }
        asks.retain(|ask| !ask.answer.is_closed());
        let Some(span) = common_span(asks.iter().map(|ask| &ask.span)) else { continue };
        let answer = ask_shard::<B>(&shard, &asks).instrument(span).await;
        for ask in asks {
            // The caller may have stopped waiting.
            let _ = ask.answer.send(answer.clone());
        }
    }
}

async fn ask_shard<B: Batch>(shard: &Shard, asks: &[Ask<B>]) -> Result<Arc<Found<B>>> {
    let mut keys: Vec<B::Key> = Vec::with_capacity(asks.len());
    let mut seen = std::collections::HashSet::with_capacity(asks.len());
    for key in asks.iter().flat_map(|ask| &ask.keys) {
        if seen.insert(*key) {
            keys.push(*key);
        }
    }
    let rows = shard.ask(async |connection| B::fetch(&connection, keys).await).await?;
    Ok(Arc::new(rows.into_iter().map(|(key, row)| (key, Arc::new(row))).collect()))
}
