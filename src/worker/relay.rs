//! From the outbox to the stream: what this process has committed at once, and what others left behind.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::bus::Bus;
use crate::model::{Error, Result};
use crate::store::{Committed, Store, outbox};

/// How many commits are published together at most, when they come faster than they leave.
const MAX_COMMITS: usize = 256;
/// How many such groups wait for their acks at once; then the queue fills, and what finds it full is left
/// to the sweeper.
const MAX_GROUPS: usize = 32;
/// How many rows one statement deletes, and how long it waits for more.
const DELETE_ROWS: usize = 500;
const DELETE_DELAY: Duration = Duration::from_millis(20);
/// How many acked rows of a shard may wait to be deleted; more are left to the sweeper.
const DELETE_QUEUE: usize = 10_000;
/// How many rows a sweeper takes at once.
const SWEEP_ROWS: u32 = 500;

/// Publishes what this process commits, as soon as it is committed, and deletes it once the stream has
/// it. Runs in every process that writes. On `stopping` it publishes what is queued and returns.
pub async fn run(
    mut committed: mpsc::Receiver<Committed>,
    store: Store,
    bus: Bus,
    stopping: CancellationToken,
) {
    let mut deleters = JoinSet::new();
    let queues: Vec<mpsc::Sender<Uuid>> = (0..store.shards().len())
        .map(|shard| {
            let (queue, ids) = mpsc::channel(DELETE_QUEUE);
            deleters.spawn(delete(store.clone(), shard, ids));
            queue
        })
        .collect();
    let mut publishing = JoinSet::new();
    let mut commits = Vec::with_capacity(MAX_COMMITS);
    let mut is_open = true;
    while is_open || !committed.is_empty() {
        tokio::select! {
            Some(_) = publishing.join_next() => {}
            count = committed.recv_many(&mut commits, MAX_COMMITS), if publishing.len() < MAX_GROUPS => {
                if count == 0 {
                    break;
                }
                metrics::gauge!("fowergram_relay_queue").set(u32::try_from(committed.len()).unwrap_or(u32::MAX));
                publishing.spawn(publish(bus.clone(), queues.clone(), std::mem::take(&mut commits)));
            }
            () = stopping.cancelled(), if is_open => {
                is_open = false;
                committed.close();
            }
        }
    }
    publishing.join_all().await;
    drop(queues);
    deleters.join_all().await;
}

async fn publish(bus: Bus, queues: Vec<mpsc::Sender<Uuid>>, commits: Vec<Committed>) {
    let mut shards = HashMap::new();
    let mut events = Vec::new();
    for commit in commits {
        shards.extend(commit.events.iter().map(|event| (event.id, commit.shard)));
        events.extend(commit.events);
    }
    for id in bus.publish_events(&events).await {
        if let Some(shard) = shards.get(&id) {
            // Where the queue is full the sweeper finds the row, publishes it again without effect, and
            // deletes it.
            let _ = queues[*shard].try_send(id);
        }
    }
}

/// Deletes the acked rows of one shard, many with one statement.
async fn delete(store: Store, shard: usize, mut acked: mpsc::Receiver<Uuid>) {
    let shard = &store.shards()[shard];
    let mut ids = Vec::with_capacity(DELETE_ROWS);
    while acked.recv_many(&mut ids, DELETE_ROWS).await > 0 {
        if ids.len() < DELETE_ROWS {
            tokio::time::sleep(DELETE_DELAY).await;
            while ids.len() < DELETE_ROWS
                && let Ok(id) = acked.try_recv()
            {
                ids.push(id);
            }
        }
        let done =
            shard.ask(async |connection| outbox::delete(&connection, std::mem::take(&mut ids)).await).await;
        if let Err(error) = done {
            tracing::debug!(shard = shard.name, %error, "published events are left to the sweeper");
        }
    }
}

/// Publishes what waits in one shard's outbox: rows of processes that died, and of a time without NATS.
/// Goes on until nothing old is left.
pub async fn sweep(store: &Store, bus: &Bus, shard: usize, stopping: &CancellationToken) -> Result<()> {
    let shard = &store.shards()[shard];
    let backlog = shard.ask(async |connection| outbox::backlog(&connection).await).await?;
    metrics::gauge!("fowergram_outbox_age_seconds", "shard" => shard.name.clone()).set(backlog.seconds);
    let rows = u32::try_from(backlog.rows).unwrap_or(u32::MAX);
    metrics::gauge!("fowergram_outbox_rows", "shard" => shard.name.clone()).set(rows);
    while bus.is_connected() && !stopping.is_cancelled() {
        let events = shard.ask(async |connection| outbox::claim(&connection, SWEEP_ROWS).await).await?;
        if events.is_empty() {
            return Ok(());
        }
        let acked = bus.publish_events(&events).await;
        tracing::debug!(shard = shard.name, taken = events.len(), acked = acked.len(), "swept the outbox");
        if acked.is_empty() {
            return Err(Error::internal(anyhow::anyhow!("the stream takes no events")));
        }
        shard.ask(async |connection| outbox::delete(&connection, acked).await).await?;
    }
    Ok(())
}
