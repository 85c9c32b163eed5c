//! What a part of a check is run on: one shard.

use time::{Duration, OffsetDateTime};
use tokio::sync::{Mutex, MutexGuard};

use super::check::Check;
use super::report::Line;
use crate::domain::Domain;
use crate::model::id::Slot;
use crate::model::{Error, Result};
use crate::progress::Stage;
use crate::store::{Connection, Store};

/// How many rows are read at once.
pub(super) const PAGE: i64 = 5_000;
/// How many differences are looked at again at once.
pub(super) const BATCH: usize = 500;

/// What to look at, and what to do with what is found.
#[derive(Debug, Clone)]
pub struct Options {
    pub checks: Vec<Check>,
    /// Whether to mend what is found.
    pub fix: bool,
    /// How long what follows from an event may take before it is missed.
    pub grace: Duration,
}

/// One part of a check on one shard, while it is under way.
pub(super) struct Target<'a> {
    pub domain: &'a Domain,
    pub options: &'a Options,
    pub shard: usize,
    pub line: Line,
    mending: &'a Mutex<()>,
    stage: &'a Stage,
}

impl<'a> Target<'a> {
    pub fn new(
        domain: &'a Domain,
        options: &'a Options,
        mending: &'a Mutex<()>,
        stage: &'a Stage,
        (shard, check): (usize, &'static str),
    ) -> Self {
        let line = Line::new(check, domain.store.shards()[shard].name.clone());
        Self { domain, options, shard, line, mending, stage }
    }

    pub fn store(&self) -> &'a Store {
        &self.domain.store
    }

    /// Asks this shard.
    pub async fn ask<T>(&self, work: impl AsyncFnOnce(Connection) -> Result<T>) -> Result<T> {
        self.store().read_shard(self.shard, work).await
    }

    /// Asks the owners of these keys, each once and side by side. What can't be reached is noted, and its
    /// answers are missing: for what only tells where to look closer.
    pub async fn ask_owners<K, T, R>(
        &mut self,
        keys: Vec<K>,
        slot: impl Fn(&K) -> Slot,
        work: impl Fn(Connection, Vec<K>) -> R,
    ) -> Vec<T>
    where
        R: Future<Output = Result<Vec<T>>>,
    {
        let mut all = Vec::new();
        for (shard, answer) in self.store().scatter_by_shard(keys, slot, work).await {
            match answer {
                Ok(rows) => all.extend(rows),
                Err(error) => self.unseen(shard, &error),
            }
        }
        all
    }

    /// The same where a missing answer would be taken for a missing row: all, or an error.
    pub async fn ask_all_owners<K, T, R>(
        &self,
        keys: Vec<K>,
        slot: impl Fn(&K) -> Slot,
        work: impl Fn(Connection, Vec<K>) -> R,
    ) -> Result<Vec<T>>
    where
        R: Future<Output = Result<Vec<T>>>,
    {
        let answers: Result<Vec<Vec<T>>> = self.store().scatter(keys, slot, work).await.into_iter().collect();
        Ok(answers?.into_iter().flatten().collect())
    }

    /// What changed before this has had its time to have its effects.
    pub fn cutoff(&self) -> OffsetDateTime {
        self.domain.clock.now() - self.options.grace
    }

    /// So many more rows were looked at.
    pub fn looked(&mut self, rows: usize) {
        self.line.looked += rows as u64;
        self.stage.advance(rows as u64);
    }

    pub fn fault(&mut self, id: String, what: String, mended: bool) {
        self.line.fault(id, what, mended);
    }

    /// To be held by who writes to one shard while it reads from another: it needs two connections at
    /// once, and two of those could wait for each other.
    pub async fn mending(&self) -> MutexGuard<'a, ()> {
        self.mending.lock().await
    }

    /// Mends, if that is asked for; whether it was done. What fails is left as a fault.
    pub async fn mends(&self, mend: impl Future<Output = Result<bool>>) -> bool {
        if !self.options.fix {
            return false;
        }
        mend.await.unwrap_or_else(|error| {
            tracing::warn!(check = self.line.check, cause = ?error, "can't be mended now");
            false
        })
    }

    /// Something on this shard could not be looked at.
    pub fn unseen(&mut self, shard: usize, error: &Error) {
        let name = &self.store().shards()[shard].name;
        let why = match error {
            Error::ShardUnavailable => format!("{name} does not answer"),
            Error::StorageUnavailable => "the storage does not answer".to_owned(),
            Error::Internal(cause) => format!("{name}: {cause}"),
            error => format!("{name}: {error}"),
        };
        if !self.line.unseen.contains(&why) {
            self.line.unseen.push(why);
        }
    }
}
