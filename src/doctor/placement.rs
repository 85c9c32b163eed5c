//! Rows in a shard that does not own their slot. Nobody reads or writes them there.

use super::target::Target;
use crate::model::id::Slot;
use crate::model::{Error, Result};
use crate::store::audit::placement::{self as audit, Stray, Table};

/// How many blocks of a table, 8 kB each, are read at once: all of their rows may be strays.
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

/// Goes over a table once: reports strays and copies them to their owners, or deletes those that their
/// owners have.
async fn walk(target: &mut Target<'_>, table: &Table, delete: bool) -> Result<()> {
    for first in (0..table.blocks).step_by(usize::try_from(BLOCKS).unwrap_or(1)) {
        let owned = &target.store().slots_of(target.shard);
        let read = async |connection| audit::strays(&connection, table, (first, first + BLOCKS), owned).await;
        let (looked, strays) = target.ask(read).await?;
        if !delete {
            target.looked(usize::try_from(looked).unwrap_or(0));
        }
        if strays.is_empty() {
            continue;
        }
        // The map may have changed since it was read.
        target.store().refresh_map().await.map_err(Error::internal)?;
        let strays: Vec<Stray> = strays
            .into_iter()
            .filter(|stray| owner(target, stray).is_some_and(|owner| owner != target.shard))
            .collect();
        if delete {
            remove(target, table, strays).await;
        } else {
            report(target, table, &strays);
            if target.options.fix {
                copy(target, table, strays).await;
            }
        }
    }
    Ok(())
}

fn owner(target: &Target<'_>, stray: &Stray) -> Option<usize> {
    Slot::new(stray.slot).map(|slot| target.store().owner(slot))
}

fn id(table: &Table, key: &str) -> String {
    format!("{} {key}", table.name)
}

fn report(target: &mut Target<'_>, table: &Table, strays: &[Stray]) {
    for stray in strays {
        let owner = owner(target, stray).map_or("", |owner| &target.store().shards()[owner].name);
        let what = format!("slot {} belongs to {owner}", stray.slot);
        target.fault(id(table, &stray.key), what, false);
    }
}

/// The strays by their owners.
fn by_owner(target: &Target<'_>, strays: Vec<Stray>) -> Vec<(usize, Vec<Stray>)> {
    let mut groups: Vec<(usize, Vec<Stray>)> = Vec::new();
    for stray in strays {
        let Some(owner) = owner(target, &stray) else { continue };
        match groups.iter_mut().find(|(known, _)| *known == owner) {
            Some((_, group)) => group.push(stray),
            None => groups.push((owner, vec![stray])),
        }
    }
    groups
}

async fn copy(target: &Target<'_>, table: &Table, strays: Vec<Stray>) {
    let store = target.store();
    let insert = |owner, rows: Vec<Stray>| async move {
        store.read_shard(owner, async |connection| audit::copy(&connection, table, &rows).await).await
    };
    for (owner, group) in by_owner(target, strays) {
        if insert(owner, group.clone()).await.is_ok() {
            continue;
        }
        // One that its owner does not take keeps no others here.
        for stray in group {
            if let Err(error) = insert(owner, vec![stray]).await {
                tracing::warn!(table = table.name, cause = ?error, "a row can't be copied to its owner");
            }
        }
    }
}

async fn remove(target: &mut Target<'_>, table: &Table, strays: Vec<Stray>) {
    for (owner, mut group) in by_owner(target, strays) {
        let (store, rows) = (target.store(), &group);
        let there =
            store.read_shard(owner, async |connection| audit::present(&connection, table, rows).await);
        let removed = match there.await {
            Ok(there) => {
                group.retain(|stray| there.contains(&stray.key));
                target.ask(async |connection| audit::remove(&connection, table, &group).await).await
            }
            error => error,
        };
        match removed {
            Ok(keys) => keys.iter().for_each(|key| target.line.mended(&id(table, key))),
            Err(error) => tracing::warn!(table = table.name, cause = ?error, "strays can't be removed"),
        }
    }
}
