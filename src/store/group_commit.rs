//! Group commit: writes of many requests share a transaction, and each request is answered after its commit.
//!
//! If a group fails as a whole (the database rejects a row, say), its writes are made one by one, so that only the bad
//! request fails.

use tokio_util::task::TaskTracker;

use super::group::{GroupWork, Groups, Waiting};
use super::{Store, Tx};
use crate::model::id::Slot;
use crate::model::wal::WalPosition;
use crate::model::{Error, Result};

/// A write that can share a transaction with others of its kind.
pub trait GroupWrite: Sized + Send + Sync + 'static {
    /// The answer to a request for a write.
    type Made: Send + 'static;

    /// The slot that it writes to.
    fn slot(&self) -> Slot;

    /// Makes these writes, which belong to one shard, in this transaction, and returns an answer for each, in their
    /// order. A refused write must leave nothing behind. An error fails the transaction. It is retried after a
    /// serialization failure or a deadlock, so it must have no effects outside `Tx`.
    ///
    /// Several processes do this at once, so rows must be locked in the order of their keys.
    fn write(tx: &Tx, writes: &[Self]) -> impl Future<Output = Result<Vec<Result<Self::Made>>>> + Send;
}

/// What was made, and how far the shard's log goes behind it, if the shard has replicas.
type Committed<W> = (<W as GroupWrite>::Made, Option<WalPosition>);

/// The queues of one kind of write, one for each shard.
pub struct GroupCommit<W: GroupWrite> {
    store: Store,
    groups: Groups<Commits<W>>,
}

impl<W: GroupWrite> GroupCommit<W> {
    pub fn new(store: &Store, tasks: &TaskTracker) -> Self {
        let commits = Commits { store: store.clone(), writes: std::marker::PhantomData };
        Self { store: store.clone(), groups: Groups::new(commits, store.shards().len(), tasks) }
    }

    /// Makes a write; on return it is committed. Whoever stops waiting may find it made all the same.
    pub async fn write(&self, write: W) -> Result<Committed<W>> {
        self.groups.ask(self.store.owner(write.slot()), write).await
    }
}

/// Commits groups of writes.
struct Commits<W> {
    store: Store,
    writes: std::marker::PhantomData<fn(W)>,
}

impl<W: GroupWrite> GroupWork for Commits<W> {
    type Request = W;
    type Answer = Committed<W>;

    async fn run(&self, group: Vec<Waiting<W, Committed<W>>>) {
        let (writes, answers): (Vec<W>, Vec<_>) =
            group.into_iter().map(|waiting| (waiting.request, waiting.answer)).unzip();
        match transact(&self.store, &writes).await {
            Ok((made, position)) => {
                for (answer, made) in answers.into_iter().zip(made) {
                    // Whoever gave up waiting does not mind.
                    let _ = answer.send(made.map(|made| (made, position)));
                }
            }
            Err(error) if writes.len() == 1 || matches!(error, Error::ShardUnavailable) => {
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
            }
            Err(error) => {
                tracing::debug!(%error, writes = writes.len(), "a group failed and is made one by one");
                metrics::counter!("fowergram_groups_split_total").increment(1);
                for (write, answer) in writes.iter().zip(answers) {
                    let alone = transact(&self.store, std::slice::from_ref(write)).await;
                    let _ = answer.send(alone.and_then(|(made, position)| {
                        let made = made.into_iter().next().unwrap_or_else(|| Err(unanswered()))?;
                        Ok((made, position))
                    }));
                }
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
