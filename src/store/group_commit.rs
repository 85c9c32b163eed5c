//! Group commit: writes of many requests in one transaction.
//!
//! For each kind of write, writes that arrive at a shard while a transaction is running are collected and go
//! into the next one, so that under load the groups grow instead of their number. A request is answered once
//! its group is committed.
//!
//! If a whole group fails, for example because the database rejects one row, its writes are retried one by
//! one, so that only the bad request fails.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

use super::{Store, Tx};
use crate::model::id::Slot;
use crate::model::wal::WalPosition;
use crate::model::{Error, Result};

/// The maximum number of writes in one transaction; the rest wait for the next.
const MAX_GROUP: usize = 64;
/// How many writes of a kind may wait for one shard; more are refused.
const QUEUE: usize = 8 * 1024;
/// How many groups of one kind may run on a shard at once.
const MAX_RUNNING: usize = 4;
/// How long to wait for a running group before the next one starts: it may be blocked by a lock that the
/// others don't need.
const PATIENCE: Duration = Duration::from_millis(25);
/// How many times to yield to other tasks before checking for more writes.
const YIELDS: usize = 2;

/// A kind of write of which several can be made in one transaction.
pub trait GroupWrite: Sized + Send + Sync + 'static {
    /// What a request is told of its write.
    type Made: Send + 'static;

    /// The slot that it writes to.
    fn slot(&self) -> Slot;

    /// Performs all of these writes, which belong to one shard, in this transaction. Returns a result for
    /// each, in order; a write that is refused must leave nothing behind. An error fails the whole
    /// transaction. It is retried after a serialization failure or a deadlock, so it must have no effects
    /// outside `Tx`.
    ///
    /// Other processes run such transactions concurrently: lock rows in the order of their keys.
    fn write(tx: &Tx, writes: &[Self]) -> impl Future<Output = Result<Vec<Result<Self::Made>>>> + Send;
}

/// The result for a request, and the log position of the commit if the shard has replicas.
type Answer<W> = Result<(<W as GroupWrite>::Made, Option<WalPosition>)>;

struct Waiting<W: GroupWrite> {
    write: W,
    answer: oneshot::Sender<Answer<W>>,
}

/// The queues of one kind of write, one for each shard.
pub struct GroupCommit<W: GroupWrite> {
    store: Store,
    queues: Vec<mpsc::Sender<Waiting<W>>>,
}

impl<W: GroupWrite> GroupCommit<W> {
    pub fn new(store: &Store, tasks: &TaskTracker) -> Self {
        let queues = (0..store.shards().len()).map(|_| {
            let (queue, waiting) = mpsc::channel(QUEUE);
            tasks.spawn(run::<W>(store.clone(), waiting));
            queue
        });
        Self { store: store.clone(), queues: queues.collect() }
    }

    /// Performs a write; when this returns, it is committed. If the caller stops waiting, the write may still
    /// happen.
    pub async fn write(&self, write: W) -> Answer<W> {
        let queue = &self.queues[self.store.owner(write.slot())];
        let (answer, answered) = oneshot::channel();
        queue.try_send(Waiting { write, answer }).map_err(|_| Error::ShardUnavailable)?;
        answered.await.map_err(|_| Error::ShardUnavailable)?
    }
}

/// Ends when the last `GroupCommit` is dropped and all groups are committed.
async fn run<W: GroupWrite>(store: Store, mut queue: mpsc::Receiver<Waiting<W>>) {
    let store = Arc::new(store);
    let mut running = FuturesUnordered::new();
    let mut patience = Instant::now();
    let mut group = Vec::new();
    loop {
        let may_start = running.is_empty() || (running.len() < MAX_RUNNING && patience <= Instant::now());
        tokio::select! {
            biased;
            Some(()) = running.next() => {}
            count = queue.recv_many(&mut group, MAX_GROUP), if may_start => {
                if count == 0 {
                    break;
                }
                fill(&mut queue, &mut group).await;
                running.push(commit(Arc::clone(&store), std::mem::take(&mut group)));
                patience = Instant::now() + PATIENCE;
            }
            () = sleep_until(patience), if !may_start && running.len() < MAX_RUNNING => {}
        }
    }
    while running.next().await.is_some() {}
}

/// Lets runnable requests add their writes first.
async fn fill<W: GroupWrite>(queue: &mut mpsc::Receiver<Waiting<W>>, group: &mut Vec<Waiting<W>>) {
    while group.len() < MAX_GROUP {
        for _ in 0..YIELDS {
            tokio::task::yield_now().await;
        }
        let before = group.len();
        while group.len() < MAX_GROUP
            && let Ok(waiting) = queue.try_recv()
        {
            group.push(waiting);
        }
        if group.len() == before {
            return;
        }
    }
}

async fn commit<W: GroupWrite>(store: Arc<Store>, mut group: Vec<Waiting<W>>) {
    group.retain(|waiting| !waiting.answer.is_closed());
    if group.is_empty() {
        return;
    }
    let (writes, answers): (Vec<W>, Vec<_>) =
        group.into_iter().map(|waiting| (waiting.write, waiting.answer)).unzip();
    match transact(&store, &writes).await {
        Ok((made, position)) => {
            for (answer, made) in answers.into_iter().zip(made) {
                // The caller may have stopped waiting.
                let _ = answer.send(made.map(|made| (made, position)));
            }
        }
        Err(error) if writes.len() == 1 || matches!(error, Error::ShardUnavailable) => {
            for answer in answers {
                let _ = answer.send(Err(error.clone()));
            }
        }
        Err(error) => {
            tracing::debug!(%error, writes = writes.len(), "a group failed; its writes are retried one by one");
            metrics::counter!("fowergram_groups_split_total").increment(1);
            for (write, answer) in writes.iter().zip(answers) {
                let alone = transact(&store, std::slice::from_ref(write)).await;
                let _ = answer.send(alone.and_then(|(made, position)| {
                    let made = made.into_iter().next().unwrap_or_else(|| Err(unanswered()))?;
                    Ok((made, position))
                }));
            }
        }
    }
}

async fn transact<W: GroupWrite>(
    store: &Store,
    writes: &[W],
) -> Result<(Vec<Result<W::Made>>, Option<WalPosition>)> {
    let work = |tx: Tx| async move { W::write(&tx, writes).await };
    let (made, written) = store.tx_at(writes[0].slot(), work).await?;
    if made.len() != writes.len() {
        return Err(unanswered());
    }
    Ok((made, written.map(|written| written.position)))
}

fn unanswered() -> Error {
    Error::internal(anyhow::anyhow!("a group did not answer all of its writes"))
}
