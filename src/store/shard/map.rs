//! Which shard owns which slot.

use std::fmt;
use std::sync::Arc;

use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, FromQueryResult, Statement};
use serde::{Deserialize, Serialize};

use super::{Shard, failure, is_not_migrated, meaning};
use crate::model::id::{SLOTS, Slot};
use crate::model::{Error, Result};

/// A range of slots, both ends included, with the name of its shard, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    pub from: u16,
    pub to: u16,
    pub shard: String,
}

/// The map in memory: for each slot an index into the configured shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotMap {
    pub epoch: i64,
    owners: Vec<u16>,
}

/// A sorted set of slots, as inclusive ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots(Vec<(u16, u16)>);

impl Slots {
    pub fn runs(&self) -> &[(u16, u16)] {
        &self.0
    }

    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }
}

/// From ascending slot numbers.
impl FromIterator<u16> for Slots {
    fn from_iter<I: IntoIterator<Item = u16>>(slots: I) -> Self {
        let mut runs: Vec<(u16, u16)> = Vec::new();
        for slot in slots {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == slot => *last = slot,
                _ => runs.push((slot, slot)),
            }
        }
        Self(runs)
    }
}

/// As `PostgreSQL` writes an `int4multirange`.
impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs: Vec<String> = self.0.iter().map(|(first, last)| format!("[{first},{last}]")).collect();
        write!(f, "{{{}}}", runs.join(","))
    }
}

impl SlotMap {
    /// The owner of a slot, as an index into the shards.
    pub fn owner(&self, slot: Slot) -> usize {
        usize::from(self.owners[usize::from(slot.number())])
    }

    /// How many slots the shard with this index owns.
    pub fn slots_of(&self, shard: usize) -> usize {
        self.owners.iter().filter(|owner| usize::from(**owner) == shard).count()
    }

    /// The slots of the shard with this index.
    pub fn ranges_of(&self, shard: usize) -> Slots {
        let owned = (0..SLOTS).zip(&self.owners).filter(|(_, owner)| usize::from(**owner) == shard);
        owned.map(|(slot, _)| slot).collect()
    }

    /// Checks a stored map: every slot has an owner, and every owner is a configured shard.
    pub fn parse(epoch: i64, ranges: &[Range], shards: &[std::sync::Arc<Shard>]) -> anyhow::Result<Self> {
        let mut owners = vec![u16::MAX; usize::from(SLOTS)];
        for range in ranges {
            let index = shards.iter().position(|shard| shard.name == range.shard).ok_or_else(|| {
                anyhow::anyhow!("SHARDS: the shard map names {}, which is not set", range.shard)
            })?;
            anyhow::ensure!(
                range.from <= range.to && range.to < SLOTS,
                "the shard map has a range beyond its slots"
            );
            owners[usize::from(range.from)..=usize::from(range.to)].fill(u16::try_from(index)?);
        }
        anyhow::ensure!(!owners.contains(&u16::MAX), "the shard map leaves slots without an owner");
        Ok(Self { epoch, owners })
    }

    /// The first map of a new cluster: equal shares in the configured order.
    pub fn even(shards: &[String]) -> Vec<Range> {
        let count = shards.len();
        let bound = |index: usize| u16::try_from(index * usize::from(SLOTS) / count).unwrap_or(SLOTS);
        shards
            .iter()
            .enumerate()
            .map(|(index, shard)| Range {
                from: bound(index),
                to: bound(index + 1) - 1,
                shard: shard.clone(),
            })
            .collect()
    }
}

#[derive(FromQueryResult)]
struct Stored {
    epoch: i64,
    ranges: serde_json::Value,
}

/// The newest map that this shard has; `None` on a shard that was never migrated.
pub async fn read(shard: &Shard) -> Result<Option<(i64, Vec<Range>)>> {
    let sql = "select epoch, ranges from shard_map order by epoch desc limit 1";
    let statement = Statement::from_string(sea_orm::DbBackend::Postgres, sql);
    let row = shard
        .ask(async |connection| match Stored::find_by_statement(statement).one(&connection).await {
            Err(error) if is_not_migrated(&error) => Ok(None),
            row => row.map_err(meaning),
        })
        .await?;
    row.map(|row| Ok((row.epoch, serde_json::from_value(row.ranges).map_err(Error::internal)?))).transpose()
}

/// Stores a map on a shard; storing the same epoch again changes nothing.
pub async fn write(connection: &impl ConnectionTrait, epoch: i64, ranges: &[Range]) -> Result<()> {
    let ranges = serde_json::to_value(ranges).map_err(Error::internal)?;
    let sql = "insert into shard_map (epoch, ranges) values ($1, $2) on conflict do nothing";
    let statement =
        Statement::from_sql_and_values(sea_orm::DbBackend::Postgres, sql, [epoch.into(), ranges.into()]);
    connection.execute_raw(statement).await.map_err(failure)?;
    Ok(())
}

/// The map as each shard has it; `None` if never migrated.
pub(in crate::store) type Maps = Vec<Result<Option<(i64, Vec<Range>)>>>;

/// Reads the stored map of each shard.
pub(in crate::store) async fn read_maps(shards: &[Arc<Shard>]) -> Maps {
    join_all(shards.iter().map(|shard| read(shard))).await
}

/// The newest of them, validated.
pub(in crate::store) fn newest(maps: &Maps, shards: &[Arc<Shard>]) -> anyhow::Result<Option<SlotMap>> {
    let newest = maps.iter().filter_map(|map| map.as_ref().ok()?.as_ref()).max_by_key(|(epoch, _)| *epoch);
    newest.map(|(epoch, ranges)| SlotMap::parse(*epoch, ranges, shards)).transpose()
}

/// Why no shard has a map, in one line.
pub(in crate::store) fn no_map(maps: &Maps, shards: &[Arc<Shard>]) -> anyhow::Error {
    let faults = shards.iter().zip(maps).map(|(shard, map)| match map {
        Err(Error::Internal(cause)) => format!("{}: {cause}", shard.name),
        Err(_) => format!("{} {}", shard.name, shard.fault()),
        Ok(_) => format!("{} was never migrated", shard.name),
    });
    let faults: Vec<String> = faults.collect();
    anyhow::anyhow!(
        "SHARDS: {}; start the servers, correct the addresses, or run `fowergram migrate up`",
        faults.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_slots_are_joined() {
        let owners: Vec<u16> =
            (0..SLOTS).map(|slot| u16::from(!(10..=20).contains(&slot) && slot != 30)).collect();
        let slots = SlotMap { epoch: 1, owners }.ranges_of(0);
        assert_eq!(slots.runs(), [(10, 20), (30, 30)]);
        assert!(slots.iter().eq((10..=20).chain([30])));
    }

    #[test]
    fn slots_are_written_as_ranges() {
        let slots: Slots = [0, 1, 2, 7, 9, 10].into_iter().collect();
        assert_eq!(slots.runs(), [(0, 2), (7, 7), (9, 10)]);
        assert_eq!(slots.to_string(), "{[0,2],[7,7],[9,10]}");
        assert_eq!(Slots::from_iter([]).to_string(), "{}");
    }

    #[test]
    fn an_even_map_covers_every_slot_once() {
        for count in [1, 2, 3, 4, 7] {
            let names: Vec<String> = (0..count).map(|index| format!("s{index}")).collect();
            let ranges = SlotMap::even(&names);
            let mut next = 0;
            for range in &ranges {
                assert_eq!(range.from, next);
                next = range.to + 1;
            }
            assert_eq!(next, SLOTS);
        }
    }
}
