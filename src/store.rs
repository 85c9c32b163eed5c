//! The shards: routing, transactions, reads, and one file of queries a noun.
//!
//! A caller names the slot of what it wants; only this module knows which shard that is.

pub mod audit;
pub mod backfill;
pub mod claim;
pub mod coalesce;
mod columns;
pub mod comment;
mod connection;
pub mod conversation;
pub mod edge;
mod endpoint;
pub mod group;
pub mod group_commit;
pub mod hashtag;
pub mod idempotency;
pub mod inbox;
pub mod log;
pub mod map;
pub mod media;
pub mod member;
pub mod message;
pub mod migrate;
pub mod notification;
pub mod outbox;
pub mod overview;
pub mod post;
pub mod reaction;
mod replica;
pub mod schema;
pub mod session;
pub mod shard;
pub mod stream;
mod tx;
pub mod user;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use crate::config::ShardConfig;
use crate::model::event::OutboxRow;
use crate::model::id::Slot;
use crate::model::wal::WalPosition;
use crate::model::{Clock, Error, Result};
use coalesce::{Batch, Coalescer};
pub use connection::Connection;
use map::SlotMap;
pub use map::Slots;
pub use replica::Following;
use shard::{Shard, failure, is_retryable};
pub use tx::Tx;
use tx::sql_with;

/// How often a transaction is run again after a serialization failure or a deadlock.
const MAX_RETRIES: u32 = 4;

/// Events of a transaction that was committed on this shard (by index).
#[derive(Debug)]
pub struct Committed {
    pub shard: usize,
    pub events: Vec<OutboxRow>,
}

/// Where a transaction was written.
#[derive(Debug)]
pub struct Written<'a> {
    pub shard: &'a Shard,
    /// How far the shard's log went behind it.
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
    /// Reads the shard map from the shards that answer. At least one must, and must have been migrated.
    /// Committed events go to `committed`; where it is full they wait in the outbox for the sweeper.
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

    /// Takes the newest map that can be read, if it is newer than the one in memory.
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

    /// Finds out, again and again, which shards answer, so that nobody waits for those that do not.
    pub async fn watch(self) {
        join_all(self.0.shards.iter().map(|shard| shard.watch())).await;
    }

    /// Closes the connections that nobody uses, and lends no more.
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

    /// Runs one transaction on the slot's shard: the rows, the counters and the events, or nothing. It is
    /// run again after a serialization failure, a deadlock or a statement that the server wants prepared anew, so
    /// `work` has no effects outside `Tx`.
    pub async fn tx<T, F, R>(&self, slot: Slot, work: F) -> Result<T>
    where
        F: Fn(Tx) -> R,
        R: Future<Output = Result<T>>,
    {
        Ok(self.run_tx(slot, false, work).await?.0)
    }

    /// The same; and, if the shard has replicas, up to where its log has it.
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
                // Boxed, so that the many futures that hold a transaction stay small.
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
            // A full queue is no loss: the rows are in the outbox, and the sweeper takes what is left there.
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

    /// Reads from a shard's primary by its index: for work that goes over all shards.
    pub async fn read_shard<T, F>(&self, index: usize, work: F) -> Result<T>
    where
        F: AsyncFnOnce(Connection) -> Result<T>,
    {
        self.0.shards[index].ask(work).await
    }

    /// Asks every shard that owns one of the keys once, side by side. A shard that can't be read leaves
    /// its error in place of its rows.
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

    /// The same, each answer with the index of its shard.
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

    /// Runs one transaction on every shard that owns one of the keys, side by side. What is done on one is not
    /// undone when another can't be reached.
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

    /// The keys by the shard that owns them.
    fn group<K>(&self, keys: Vec<K>, slot: impl Fn(&K) -> Slot) -> HashMap<usize, Vec<K>> {
        let map = self.0.map.load();
        let mut groups: HashMap<usize, Vec<K>> = HashMap::new();
        for key in keys {
            groups.entry(map.owner(slot(&key))).or_default().push(key);
        }
        groups
    }
}

/// What can't be read, and why.
pub type Away<K> = HashMap<K, Error>;
/// What was found, and what can't be read.
pub type Loaded<K, V> = (HashMap<K, V>, Away<K>);

/// A table that is read by key, on all shards, together with the other requests of this process.
pub struct Rows<B: Batch> {
    store: Store,
    shards: Vec<Coalescer<B>>,
}

impl<B: Batch> Rows<B> {
    pub fn new(store: &Store, tasks: &TaskTracker) -> Self {
        let shards = store.shards().iter().map(|shard| Coalescer::new(shard.clone(), tasks)).collect();
        Self { store: store.clone(), shards }
    }

    /// The rows of these keys, and the keys whose shard can't be read.
    pub async fn load(&self, keys: &[B::Key]) -> Loaded<B::Key, Arc<B::Row>> {
        let groups = self.store.group(keys.to_vec(), B::slot);
        let asked = groups.into_iter().map(|(index, keys)| async move {
            let found = self.shards[index].load(keys.clone()).await;
            (keys, found)
        });
        let mut rows = HashMap::with_capacity(keys.len());
        let mut away = Away::new();
        for (keys, found) in join_all(asked).await {
            match found {
                Ok(found) => {
                    rows.extend(keys.iter().filter_map(|key| Some((*key, found.get(key)?.clone()))));
                }
                Err(error) => away.extend(keys.into_iter().map(|key| (key, error.clone()))),
            }
        }
        (rows, away)
    }

    /// One row.
    pub async fn get(&self, key: B::Key) -> Result<Option<Arc<B::Row>>> {
        let index = self.store.owner(B::slot(&key));
        let found = self.shards[index].load(vec![key]).await?;
        Ok(found.get(&key).cloned())
    }
}

/// The tables that are read by key.
pub struct Tables {
    pub sessions: Rows<session::ById>,
    pub users: Rows<user::ById>,
    pub posts: Rows<post::ById>,
    pub media: Rows<media::ById>,
    pub comments: Rows<comment::ById>,
    pub is_follower: Rows<edge::IsFollower>,
    pub is_liked: Rows<edge::IsLiked>,
    pub conversations: Rows<conversation::ById>,
    pub memberships: Rows<member::Membership>,
    pub first_members: Rows<member::FirstMembers>,
    pub markers: Rows<member::Markers>,
    pub messages: Rows<message::ById>,
    pub last_messages: Rows<message::LastMessage>,
    pub reactions: Rows<reaction::ReactionsTo>,
    pub inbox: Rows<inbox::Entry>,
    pub notifications: Rows<notification::ById>,
    pub notification_actors: Rows<notification::FirstActors>,
    pub unread_counts: Rows<notification::UnreadCount>,
}

impl Tables {
    pub fn new(store: &Store, tasks: &TaskTracker) -> Self {
        Self {
            users: Rows::new(store, tasks),
            sessions: Rows::new(store, tasks),
            posts: Rows::new(store, tasks),
            media: Rows::new(store, tasks),
            comments: Rows::new(store, tasks),
            is_follower: Rows::new(store, tasks),
            is_liked: Rows::new(store, tasks),
            conversations: Rows::new(store, tasks),
            memberships: Rows::new(store, tasks),
            first_members: Rows::new(store, tasks),
            markers: Rows::new(store, tasks),
            messages: Rows::new(store, tasks),
            last_messages: Rows::new(store, tasks),
            reactions: Rows::new(store, tasks),
            inbox: Rows::new(store, tasks),
            notifications: Rows::new(store, tasks),
            notification_actors: Rows::new(store, tasks),
            unread_counts: Rows::new(store, tasks),
        }
    }
}

/// What each shard says of the map; `None` where it was never migrated.
type Maps = Vec<Result<Option<(i64, Vec<map::Range>)>>>;

async fn read_maps(shards: &[Arc<Shard>]) -> Maps {
    join_all(shards.iter().map(|shard| map::read(shard))).await
}

fn newest(maps: &Maps, shards: &[Arc<Shard>]) -> anyhow::Result<Option<SlotMap>> {
    let newest = maps.iter().filter_map(|map| map.as_ref().ok()?.as_ref()).max_by_key(|(epoch, _)| *epoch);
    newest.map(|(epoch, ranges)| SlotMap::parse(*epoch, ranges, shards)).transpose()
}

/// Which shard fails how, in one line.
fn no_map(maps: &Maps, shards: &[Arc<Shard>]) -> anyhow::Error {
    let faults = shards.iter().zip(maps).map(|(shard, map)| match map {
        Err(Error::Internal(cause)) => format!("{}: {cause}", shard.name),
        Err(_) => format!("{} can't be reached", shard.name),
        Ok(_) => format!("{} was never migrated", shard.name),
    });
    let faults: Vec<String> = faults.collect();
    anyhow::anyhow!(
        "SHARDS: {}; start the servers, correct the addresses, or run `fowergram migrate up`",
        faults.join(", ")
    )
}
