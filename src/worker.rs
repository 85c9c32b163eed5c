//! Work behind the requests.

pub mod image;
pub mod media;
//! What happens after the answer: the relay, the effects of events, and periodic jobs.

pub mod consumer;
pub mod dead;
pub mod jobs;
pub mod relay;

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bus::Bus;
use crate::domain::{Domain, notification};
use consumer::Effect;

/// What follows from events, one line each.
fn effects() -> Vec<Effect> {
    vec![Effect::new("notification", notification::concerns, |domain, id, event| async move {
        domain.notify(id, &event).await
    })]
}

/// Starts the worker's parts; they end after `stopping`. The relay is not among them: it runs in every
/// process, for its own commits.
pub fn start(tasks: &TaskTracker, domain: &Domain, bus: &Bus, stopping: &CancellationToken) {
    tasks.spawn(bus.clone().keep_streams(stopping.clone()));
    for effect in effects() {
        tasks.spawn(consumer::run(effect, domain.clone(), bus.clone(), stopping.clone()));
    }
    // A loop for each shard, so that one that is down keeps no other waiting.
    for shard in 0..domain.store.shards().len() {
        let (store, bus, stop) = (domain.store.clone(), bus.clone(), stopping.clone());
        let sweep = move || {
            let (store, bus, stop) = (store.clone(), bus.clone(), stop.clone());
            async move { relay::sweep(&store, &bus, shard, &stop).await }
        };
        tasks.spawn(jobs::every(Duration::from_secs(1), "outbox", stopping.clone(), sweep));
    }
    let store = domain.store.clone();
    let purge = move || {
        let store = store.clone();
        async move { jobs::purge(&store).await }
    };
    tasks.spawn(jobs::every(Duration::from_mins(5), "purge", stopping.clone(), purge));
}
