//! The data access layer: routing to shards, transactions, reads, and one file of queries per table.
//!
//! Callers name the slot of a row; only this module knows which shard owns it.

pub mod audit;
pub mod claim;
pub mod coalesce;
mod columns;
pub mod comment;
pub mod conversation;
pub mod edge;
pub mod group;
pub mod group_commit;
pub mod hashtag;
pub mod idempotency;
pub mod inbox;
pub mod log;
pub mod media;
pub mod member;
pub mod message;
pub mod migrate;
pub mod notification;
pub mod outbox;
pub mod overview;
pub mod post;
pub mod reaction;
pub mod session;
pub mod shard;
mod statement;
pub mod stream;
mod tables;
mod tx;
pub mod user;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use tokio::sync::mpsc;

use crate::config::ShardConfig;
use crate::model::event::OutboxRow;
use crate::model::id::Slot;
use crate::model::wal::WalPosition;
use crate::model::{Clock, Result};
use shard::map::{newest, no_map, read_maps};
pub use shard::{Connection, ReplicaStatus, Slots};
use shard::{Shard, SlotMap, failure, is_retryable};
use statement::sql_with;
pub use tables::{LoadErrors, Loaded, Rows, Tables};
pub use tx::Tx;

/// How many times a transaction is retried after a serialization failure or a deadlock.
const MAX_RETRIES: u32 = 4;

/// The events of a committed transaction, with the index of its shard.
#[derive(Debug)]
pub struct Committed {
    pub shard: usize,
    pub events: Vec<OutboxRow>,
}

/// Where a transaction was written.
#[derive(Debug)]
pub struct Written<'a> {
    pub shard: &'a Shard,
    /// The position in the shard's write-ahead log after the commit.
    pub position: WalPosition,
}

/// All shards. Cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    shards: Vec<Arc<Shard>>,
    map: ArcSwap<SlotMap>,
    clock: Clock,
    committed: mpsc::Sender<Committed>,
}

impl Store {
    /// Reads the shard map from the shards. At least one must answer and must have been migrated. Committed
    /// events are sent to `committed`; when it is full they stay in the outbox for the sweeper.
    pub async fn open(
        config: &ShardConfig,
        clock: Clock,
        committed: mpsc::Sender<Committed>,
    ) -> anyhow::Result<Self> {
        let mut shards = Vec::with_capacity(config.shards.len());
        for endpoint in &config.shards {
            shards.push(Arc::new(Shard::open(&endpoint.shard, config)?));
        }
        let maps = read_maps(&shards).await;
        let map = newest(&maps, &shards)?.ok_or_else(|| no_map(&maps, &shards))?;
        Ok(Self(Arc::new(Inner { shards, map: ArcSwap::from_pointee(map), clock, committed })))
    }

    /// Loads the newest map that can be read, if it is newer than the one in memory.
    pub async fn refresh_map(&self) -> anyhow::Result<()> {
        let maps = read_maps(&self.0.shards).await;
        for (shard, map) in self.0.shards.iter().zip(&maps) {
            if let Err(error) = map {
                tracing::warn!(shard = %shard.name, cause = %error, "the shard map can't be read");
            }
        }
        if let Some(map) = newest(&maps, &self.0.shards)?
            && map.epoch > self.0.map.load().epoch
        {
            tracing::info!(epoch = map.epoch, "new shard map");
            self.0.map.store(Arc::new(map));
        }
        Ok(())
    }

    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub fn shards(&self) -> &[Arc<Shard>] {
        &self.0.shards
    }

    /// Probes the shards until dropped, so that requests fail fast while one is down.
    pub async fn watch(self) {
        join_all(self.0.shards.iter().map(|shard| shard.watch())).await;
    }

    /// Closes idle connections and stops lending new ones.
    pub fn close(&self) {
        self.0.shards.iter().for_each(|shard| shard.close());
    }

    /// The index of the shard that owns the slot.
    pub fn owner(&self, slot: Slot) -> usize {
        self.0.map.load().owner(slot)
    }

    /// The slots that the shard with this index owns.
    pub fn slots_of(&self, shard: usize) -> Slots {
        self.0.map.load().ranges_of(shard)
    }

    /// The shard that owns the slot.
    pub fn shard(&self, slot: Slot) -> &Arc<Shard> {
        &self.0.shards[self.owner(slot)]
    }

    /// Runs one transaction on the slot's shard: rows, counters and events are committed together. It is
    /// retried after a serialization failure, a deadlock or a stale prepared statement, so `work` must have
    /// no effects outside `Tx`.
    pub async fn tx<T, F, R>(&self, slot: Slot, work: F) -> Result<T>
    where
        F: Fn(Tx) -> R,
        R: Future<Output = Result<T>>,
    {
        Ok(self.run_tx(slot, false, work).await?.0)
    }

    /// Like [`Store::tx`]; also returns the log position of the commit if the shard has replicas.
    pub async fn tx_at<T, F, R>(&self, slot: Slot, work: F) -> Result<(T, Option<Written<'_>>)>
    where
        F: Fn(Tx) -> R,
        R: Future<Output = Result<T>>,
    {
        self.run_tx(slot, true, work).await
    }

    async fn run_tx<T, F, R>(&self, slot: Slot, locate: bool, work: F) -> Result<(T, Option<Written<'_>>)>
    where
        F: Fn(Tx) -> R,
        R: Future<Output = Result<T>>,
    {
        let mut retries = 0;
        loop {
            match self.tx_once(slot, locate, &work).await {
                Err(error) if retries < MAX_RETRIES && is_retryable(&error) => {
                    retries += 1;
                    metrics::counter!("fowergram_transaction_retries_total").increment(1);
                }
                result => return result,
            }
        }
    }

    async fn tx_once<T, F, R>(&self, slot: Slot, locate: bool, work: &F) -> Result<(T, Option<Written<'_>>)>
    where
        F: Fn(Tx) -> R,
        R: Future<Output = Result<T>>,
    {
        let index = self.owner(slot);
        let shard = &self.0.shards[index];
        let (value, (events, position)) = shard
            .ask(async |connection| {
                connection.begin().await.map_err(failure)?;
                let tx = Tx::new(connection, slot, self.0.clock.clone());
                // Boxed to keep the futures of callers small.
                match Box::pin(work(tx.clone())).await {
                    Ok(value) => Ok((value, tx.commit(locate && shard.has_replica()).await?)),
                    Err(error) => {
                        tx.rollback().await;
                        Err(error)
                    }
                }
            })
            .await?;
        if !events.is_empty() {
            // If the queue is full, nothing is lost: the sweeper publishes what is left in the outbox.
            let _ = self.0.committed.try_send(Committed { shard: index, events });
        }
        Ok((value, position.map(|position| Written { shard, position })))
    }

    /// Reads from the slot's primary, outside a transaction.
    pub async fn read<T, F>(&self, slot: Slot, work: F) -> Result<T>
    where
        F: AsyncFnOnce(Connection) -> Result<T>,
    {
        self.shard(slot).ask(work).await
    }

    /// Reads from a shard's primary by index, for work that goes over all shards.
    pub async fn read_shard<T, F>(&self, index: usize, work: F) -> Result<T>
    where
        F: AsyncFnOnce(Connection) -> Result<T>,
    {
        self.0.shards[index].ask(work).await
    }

    /// Queries each shard that owns some of the keys once, concurrently. A shard that can't be read yields
    /// its error.
    pub async fn scatter<K, T, F, R>(
        &self,
        keys: Vec<K>,
        slot: impl Fn(&K) -> Slot,
        work: F,
    ) -> Vec<Result<T>>
    where
        F: Fn(Connection, Vec<K>) -> R,
        R: Future<Output = Result<T>>,
    {
        self.scatter_by_shard(keys, slot, work).await.into_iter().map(|(_, answer)| answer).collect()
    }

    /// Like [`Store::scatter`], with the index of the shard for each answer.
    pub async fn scatter_by_shard<K, T, F, R>(
        &self,
        keys: Vec<K>,
        slot: impl Fn(&K) -> Slot,
        work: F,
    ) -> Vec<(usize, Result<T>)>
    where
        F: Fn(Connection, Vec<K>) -> R,
        R: Future<Output = Result<T>>,
    {
        let groups = self.group(keys, slot);
        join_all(groups.into_iter().map(|(index, keys)| {
            let work = &work;
            let asked = self.0.shards[index].ask(async move |connection| work(connection, keys).await);
            async move { (index, asked.await) }
        }))
        .await
    }

    /// Runs one transaction on each shard that owns some of the keys, concurrently. There is no atomicity
    /// across shards.
    pub async fn scatter_tx<K, T, F, R>(
        &self,
        keys: Vec<K>,
        slot: impl Fn(&K) -> Slot,
        work: F,
    ) -> Vec<Result<T>>
    where
        K: Clone,
        F: Fn(Tx, Vec<K>) -> R,
        R: Future<Output = Result<T>>,
    {
        let groups = self.group(keys, &slot);
        join_all(groups.into_values().map(|keys| {
            let (work, slot) = (&work, slot(&keys[0]));
            async move { self.tx(slot, |tx| work(tx, keys.clone())).await }
        }))
        .await
    }

    /// Groups the keys by the index of their shard.
    fn group<K>(&self, keys: Vec<K>, slot: impl Fn(&K) -> Slot) -> HashMap<usize, Vec<K>> {
        let map = self.0.map.load();
        let mut groups: HashMap<usize, Vec<K>> = HashMap::new();
        for key in keys {
            groups.entry(map.owner(slot(&key))).or_default().push(key);
        }
        groups
    }
}
