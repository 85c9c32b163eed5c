//! Read your own writes, where reads that may be a little old go to replicas.
//!
//! After a commit the place in the shard's write-ahead log is remembered for the writer, in Redis, so
//! that every process knows it. A replica serves that person only once it has replayed so far. What is
//! not known (Redis is down, was flushed, another timeline) is read from the primary.

use super::Domain;
use crate::model::Result;
use crate::model::id::{Slot, UserId};
use crate::model::wal::AtLeast;
use crate::store::group_commit::{GroupCommit, GroupWrite};
use crate::store::shard::Shard;
use crate::store::{Connection, Tx, Written};

impl Domain {
    /// Runs one transaction on the slot's shard, as [`crate::store::Store::tx`] does. What it wrote is
    /// seen by this person from then on, whichever server answers.
    pub(super) async fn write<T, F, R>(&self, by: UserId, slot: Slot, work: F) -> Result<T>
    where
        F: Fn(Tx) -> R,
        R: Future<Output = Result<T>>,
    {
        let (value, written) = self.store.tx_at(slot, work).await?;
        if let Some(Written { shard, position }) = written {
            self.positions.note(by, &shard.name, position).await;
        }
        Ok(value)
    }

    /// The same for a write that is committed together with others.
    pub(super) async fn write_grouped<W: GroupWrite>(
        &self,
        by: UserId,
        commit: &GroupCommit<W>,
        write: W,
    ) -> Result<W::Made> {
        let slot = write.slot();
        let (made, position) = commit.write(write).await?;
        if let Some(position) = position {
            self.positions.note(by, &self.store.shard(slot).name, position).await;
        }
        Ok(made)
    }

    /// Reads what may be a little old, from a replica where one will do. Never what decides privacy,
    /// uniqueness or a permission. `work` may be run twice.
    pub(super) async fn read_lagging<T, F, R>(
        &self,
        reader: Option<UserId>,
        shard: &Shard,
        work: F,
    ) -> Result<T>
    where
        F: Fn(Connection) -> R,
        R: Future<Output = Result<T>>,
    {
        let at_least = match reader {
            Some(reader) if shard.has_replica() => self.positions.of(reader, &shard.name).await,
            _ => AtLeast::Anything,
        };
        shard.ask_any(at_least, work).await
    }
}
