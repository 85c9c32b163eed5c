//! `following` against `followers`, and `liked` against `likes`.

use std::collections::HashMap;

use uuid::Uuid;

use super::check::Mirror;
use super::target::{BATCH, PAGE, Target};
use crate::model::Result;
use crate::model::id::{UserId, slot_of};
use crate::store::audit::edge::{self as audit, Edge, Pair};
use crate::store::edge::{self, Known};
use crate::store::user::{self, Counter};

const fn flipped((one, other): Pair) -> Pair {
    (other, one)
}

pub(super) async fn look(target: &mut Target<'_>, mirror: Mirror) -> Result<()> {
    from_edges(target, mirror).await?;
    from_mirrors(target, mirror).await
}

/// Looks for mirrors that an edge of this shard does not find as it is.
async fn from_edges(target: &mut Target<'_>, mirror: Mirror) -> Result<()> {
    let mut after = (Uuid::nil(), Uuid::nil());
    loop {
        let page = async |connection| audit::page(&connection, mirror.decides(), after, PAGE).await;
        let mut page = target.ask(page).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.owner, last.other);
        target.looked(page.len());
        let cutoff = target.cutoff();
        page.retain(|edge| edge.changed_at < cutoff);
        let unlike =
            |connection, edges| async move { audit::unlike(&connection, mirror.follows(), edges).await };
        let suspects = target.ask_owners(page, |edge: &Edge| slot_of(edge.other), unlike).await;
        look_again(target, mirror, &suspects).await;
    }
}

/// Looks for mirrors on this shard that no edge is behind.
async fn from_mirrors(target: &mut Target<'_>, mirror: Mirror) -> Result<()> {
    let mut after = (Uuid::nil(), Uuid::nil());
    loop {
        let page = async |connection| audit::page(&connection, mirror.follows(), after, PAGE).await;
        let page = target.ask(page).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.owner, last.other);
        target.looked(page.len());
        let cutoff = target.cutoff();
        let active = page.iter().filter(|mirrored| mirrored.active && mirrored.changed_at < cutoff);
        let pairs = active.map(|mirrored| (mirrored.other, mirrored.owner)).collect();
        let suspects = unfounded(target, mirror, pairs).await;
        look_again(target, mirror, &suspects).await;
    }
}

async fn unfounded(target: &mut Target<'_>, mirror: Mirror, pairs: Vec<Pair>) -> Vec<Pair> {
    let work =
        |connection, pairs| async move { audit::unfounded(&connection, mirror.decides(), pairs).await };
    target.ask_owners(pairs, |pair: &Pair| slot_of(pair.0), work).await
}

async fn look_again(target: &mut Target<'_>, mirror: Mirror, suspects: &[Pair]) {
    for pairs in suspects.chunks(BATCH) {
        match compare(target, mirror, pairs).await {
            Ok(faults) => {
                for (pair, what) in faults {
                    let mended = target.mends(mend(target, mirror, pair)).await;
                    target.fault(format!("{} {}", pair.1, pair.0), what, mended);
                }
            }
            Err(error) => target.unseen(target.shard, &error),
        }
    }
}

/// Which of these mirrors are wrong, and how.
async fn compare(target: &mut Target<'_>, mirror: Mirror, pairs: &[Pair]) -> Result<Vec<(Pair, String)>> {
    let cutoff = target.cutoff();
    // The mirrors first: what changes between the two reads has changed after the cutoff.
    let keys = pairs.iter().copied().map(flipped).collect();
    let fetch = |connection, pairs| async move { audit::fetch(&connection, mirror.follows(), pairs).await };
    let mirrors = by_pair(target.ask_all_owners(keys, |pair: &Pair| slot_of(pair.0), fetch).await?);
    let fetch = |connection, pairs| async move { audit::fetch(&connection, mirror.decides(), pairs).await };
    let edges = by_pair(target.ask_all_owners(pairs.to_vec(), |pair: &Pair| slot_of(pair.0), fetch).await?);

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
    let unfounded = unfounded(target, mirror, without_edge).await;
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
async fn mend(target: &Target<'_>, mirror: Mirror, pair: Pair) -> Result<bool> {
    let _alone = target.mending().await;
    let (store, key) = (target.store(), flipped(pair));
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
        && let Err(error) = target.domain.feeds.forget(UserId::from_row(key.0)).await
    {
        tracing::info!(%error, "a feed is built anew when it lapses");
    }
    Ok(true)
}
