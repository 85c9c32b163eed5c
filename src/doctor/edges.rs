//! `following` against `followers`, and `liked` against `likes`.

use std::collections::HashMap;

use uuid::Uuid;

use super::ward::Ward;
use super::{BATCH, PAGE};
use crate::model::Result;
use crate::model::id::{UserId, slot_of};
use crate::store::audit::edge::{self as audit, Edge, Pair};
use crate::store::edge::{self, Known, Table};
use crate::store::user::{self, Counter};

/// A table that follows another. All pairs here are (owner, other) of the one that decides; the mirror's
/// are the other way round.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mirror {
    Following,
    Liked,
}

impl Mirror {
    const fn decides(self) -> Table {
        match self {
            Self::Following => Table::Followers,
            Self::Liked => Table::Likes,
        }
    }

    const fn follows(self) -> Table {
        match self {
            Self::Following => Table::Following,
            Self::Liked => Table::Liked,
        }
    }
}

const fn flipped((one, other): Pair) -> Pair {
    (other, one)
}

pub(super) async fn look(ward: &mut Ward<'_>, mirror: Mirror) -> Result<()> {
    from_edges(ward, mirror).await?;
    from_mirrors(ward, mirror).await
}

/// Looks for mirrors that an edge of this shard does not find as it is.
async fn from_edges(ward: &mut Ward<'_>, mirror: Mirror) -> Result<()> {
    let mut after = (Uuid::nil(), Uuid::nil());
    loop {
        let page = async |connection| audit::page(&connection, mirror.decides(), after, PAGE).await;
        let mut page = ward.ask(page).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.owner, last.other);
        ward.looked(page.len());
        let cutoff = ward.cutoff();
        page.retain(|edge| edge.changed_at < cutoff);
        let unlike =
            |connection, edges| async move { audit::unlike(&connection, mirror.follows(), edges).await };
        let suspects = ward.ask_owners(page, |edge: &Edge| slot_of(edge.other), unlike).await;
        look_again(ward, mirror, &suspects).await;
    }
}

/// Looks for mirrors on this shard that no edge is behind.
async fn from_mirrors(ward: &mut Ward<'_>, mirror: Mirror) -> Result<()> {
    let mut after = (Uuid::nil(), Uuid::nil());
    loop {
        let page = async |connection| audit::page(&connection, mirror.follows(), after, PAGE).await;
        let page = ward.ask(page).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.owner, last.other);
        ward.looked(page.len());
        let cutoff = ward.cutoff();
        let active = page.iter().filter(|mirrored| mirrored.active && mirrored.changed_at < cutoff);
        let pairs = active.map(|mirrored| (mirrored.other, mirrored.owner)).collect();
        let suspects = unfounded(ward, mirror, pairs).await;
        look_again(ward, mirror, &suspects).await;
    }
}

async fn unfounded(ward: &mut Ward<'_>, mirror: Mirror, pairs: Vec<Pair>) -> Vec<Pair> {
    let work =
        |connection, pairs| async move { audit::unfounded(&connection, mirror.decides(), pairs).await };
    ward.ask_owners(pairs, |pair: &Pair| slot_of(pair.0), work).await
}

async fn look_again(ward: &mut Ward<'_>, mirror: Mirror, suspects: &[Pair]) {
    for pairs in suspects.chunks(BATCH) {
        match compare(ward, mirror, pairs).await {
            Ok(faults) => {
                for (pair, what) in faults {
                    let mended = ward.mends(mend(ward, mirror, pair)).await;
                    ward.fault(format!("{} {}", pair.1, pair.0), what, mended);
                }
            }
            Err(error) => ward.unseen(ward.shard, &error),
        }
    }
}

/// Which of these mirrors are wrong, and how.
async fn compare(ward: &mut Ward<'_>, mirror: Mirror, pairs: &[Pair]) -> Result<Vec<(Pair, String)>> {
    let cutoff = ward.cutoff();
    // The mirrors first: what changes between the two reads has changed after the cutoff.
    let keys = pairs.iter().copied().map(flipped).collect();
    let fetch = |connection, pairs| async move { audit::fetch(&connection, mirror.follows(), pairs).await };
    let mirrors = by_pair(ward.ask_all_owners(keys, |pair: &Pair| slot_of(pair.0), fetch).await?);
    let fetch = |connection, pairs| async move { audit::fetch(&connection, mirror.decides(), pairs).await };
    let edges = by_pair(ward.ask_all_owners(pairs.to_vec(), |pair: &Pair| slot_of(pair.0), fetch).await?);

    let mut faults = Vec::new();
    let mut without_edge = Vec::new();
    for pair in pairs {
        let mirrored = mirrors.get(&flipped(*pair));
        match (edges.get(pair), mirrored) {
            (Some(edge), _) if edge.changed_at < cutoff && differ(edge, mirrored) => {
                faults.push((*pair, format!("is {}, and the edge is {}", told(mirrored), told(Some(edge)))));
            }
            (None, Some(mirrored)) if mirrored.active && mirrored.changed_at < cutoff => {
                without_edge.push(*pair);
            }
            _ => {}
        }
    }
    let unfounded = unfounded(ward, mirror, without_edge).await;
    faults.extend(unfounded.into_iter().map(|pair| (pair, "is on, and there is no edge".to_owned())));
    Ok(faults)
}

fn by_pair(edges: Vec<Edge>) -> HashMap<Pair, Edge> {
    edges.into_iter().map(|edge| ((edge.owner, edge.other), edge)).collect()
}

/// A mirror that is absent stands as ended, whatever the version: tombstones need not be kept.
fn differ(edge: &Edge, mirrored: Option<&Edge>) -> bool {
    mirrored
        .map_or(edge.active, |mirrored| (mirrored.active, mirrored.version) != (edge.active, edge.version))
}

fn told(edge: Option<&Edge>) -> String {
    edge.map_or_else(
        || "absent".to_owned(),
        |edge| format!("{} at version {}", if edge.active { "on" } else { "off" }, edge.version),
    )
}

/// Brings a mirror to its edge. What is delivered meanwhile waits for the mirror's row; and since the
/// edge is read behind that lock, what it has become later is delivered later.
async fn mend(ward: &Ward<'_>, mirror: Mirror, pair: Pair) -> Result<bool> {
    let _alone = ward.mending().await;
    let (store, key) = (ward.store(), flipped(pair));
    let (decides, follows) = (mirror.decides(), mirror.follows());
    store
        .tx(slot_of(key.0), |tx| async move {
            let known = edge::hold(&tx, follows, key).await?;
            let read = async |connection| audit::fetch(&connection, decides, vec![pair]).await;
            let edge = store.read(slot_of(pair.0), read).await?.pop();
            let edge = edge.map_or(Known { active: false, version: 0 }, |edge| Known {
                active: edge.active,
                version: edge.version,
            });
            edge::write(&tx, follows, key, edge).await?;
            let by = i32::from(edge.active) - i32::from(known.active);
            if by != 0 && matches!(mirror, Mirror::Following) {
                user::count(&tx, UserId::from_row(key.0), Counter::Following, by).await?;
            }
            Ok(())
        })
        .await?;
    if matches!(mirror, Mirror::Following)
        && let Err(error) = ward.domain.feeds.forget(UserId::from_row(key.0)).await
    {
        tracing::info!(%error, "a feed is built anew when it lapses");
    }
    Ok(true)
}
