//! Rows in a shard that does not own their slot. Nobody reads or writes them there.

use super::target::Target;
use crate::model::id::Slot;
use crate::model::{Error, Result};
use crate::store::audit::placement::{self as audit, MisplacedRow, Table};

/// How many blocks of a table, 8 kB each, are read at once: all of their rows may be misplaced.
const BLOCKS: i64 = 500;

pub(super) async fn look(target: &mut Target<'_>) -> Result<()> {
    let tables = target.ask(async |connection| audit::tables(&connection).await).await?;
    // What others refer to is copied first and deleted last.
    for table in &tables {
        walk(target, table, false).await?;
    }
    if target.options.fix && target.line.found > 0 {
        for table in tables.iter().rev() {
            walk(target, table, true).await?;
        }
    }
    Ok(())
}

/// Goes over a table once: reports misplaced rows and copies them to their owners, or deletes those that their
/// owners have.
async fn walk(target: &mut Target<'_>, table: &Table, delete: bool) -> Result<()> {
    for first in (0..table.blocks).step_by(usize::try_from(BLOCKS).unwrap_or(1)) {
        let owned = &target.store().slots_of(target.shard);
        let read =
            async |connection| audit::misplaced(&connection, table, (first, first + BLOCKS), owned).await;
        let (looked, misplaced) = target.ask(read).await?;
        if !delete {
            target.looked(usize::try_from(looked).unwrap_or(0));
        }
        if misplaced.is_empty() {
            continue;
        }
        // The map may have changed since it was read.
        target.store().refresh_map().await.map_err(Error::internal)?;
        let misplaced: Vec<MisplacedRow> = misplaced
            .into_iter()
            .filter(|row| owner(target, row).is_some_and(|owner| owner != target.shard))
            .collect();
        if delete {
            remove(target, table, misplaced).await;
        } else {
            report(target, table, &misplaced);
            if target.options.fix {
                copy(target, table, misplaced).await;
            }
        }
    }
    Ok(())
}

fn owner(target: &Target<'_>, row: &MisplacedRow) -> Option<usize> {
    Slot::new(row.slot).map(|slot| target.store().owner(slot))
}

fn id(table: &Table, key: &str) -> String {
    format!("{} {key}", table.name)
}

fn report(target: &mut Target<'_>, table: &Table, misplaced: &[MisplacedRow]) {
    for row in misplaced {
        let owner = owner(target, row).map_or("", |owner| &target.store().shards()[owner].name);
        let what = format!("slot {} belongs to {owner}", row.slot);
        target.fault(id(table, &row.key), what, false);
    }
}

/// The rows by their owners.
fn by_owner(target: &Target<'_>, misplaced: Vec<MisplacedRow>) -> Vec<(usize, Vec<MisplacedRow>)> {
    let mut groups: Vec<(usize, Vec<MisplacedRow>)> = Vec::new();
    for row in misplaced {
        let Some(owner) = owner(target, &row) else { continue };
        match groups.iter_mut().find(|(known, _)| *known == owner) {
            Some((_, group)) => group.push(row),
            None => groups.push((owner, vec![row])),
        }
    }
    groups
}

async fn copy(target: &Target<'_>, table: &Table, misplaced: Vec<MisplacedRow>) {
    let store = target.store();
    let insert = |owner, rows: Vec<MisplacedRow>| async move {
        store.read_shard(owner, async |connection| audit::copy(&connection, table, &rows).await).await
    };
    for (owner, group) in by_owner(target, misplaced) {
        if insert(owner, group.clone()).await.is_ok() {
            continue;
        }
        // One that its owner does not take keeps no others here.
        for row in group {
            if let Err(error) = insert(owner, vec![row]).await {
                tracing::warn!(table = table.name, cause = ?error, "a row can't be copied to its owner");
            }
        }
    }
}

async fn remove(target: &mut Target<'_>, table: &Table, misplaced: Vec<MisplacedRow>) {
    for (owner, mut group) in by_owner(target, misplaced) {
        let (store, rows) = (target.store(), &group);
        let there =
            store.read_shard(owner, async |connection| audit::present(&connection, table, rows).await);
        let removed = match there.await {
            Ok(there) => {
                group.retain(|row| there.contains(&row.key));
                target.ask(async |connection| audit::remove(&connection, table, &group).await).await
            }
            error => error,
        };
        match removed {
            Ok(keys) => keys.iter().for_each(|key| target.line.mended(&id(table, key))),
            Err(error) => {
                tracing::warn!(table = table.name, cause = ?error, "misplaced rows can't be removed");
            }
        }
    }
}
