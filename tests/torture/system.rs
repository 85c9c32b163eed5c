//! What breaks.

use std::time::Duration;

use tokio::time::sleep;

use crate::harness::binary::{Api, Program};
use crate::harness::{SHARDS, World};

/// One thing after the other breaks and comes back: an API process, NATS for so long, a shard's primary.
pub async fn break_things(world: &World, apis: &mut [Api; 2], rounds: usize, without_nats: Duration) {
    let servers = world.servers();
    for round in 0..rounds {
        sleep(Duration::from_secs(2)).await;
        let api = &mut apis[round % 2];
        api.running.kill().await;
        // Somebody starts it again.
        sleep(Duration::from_secs(1)).await;
        api.start_again(&Program::this(), &[]).await;
        sleep(Duration::from_secs(2)).await;
        servers.nats().stop().await;
        sleep(without_nats).await;
        servers.nats().start().await.expect("NATS starts");
        sleep(Duration::from_secs(2)).await;
        servers.postgres()[round % SHARDS].restart().await.expect("PostgreSQL starts");
        sleep(Duration::from_secs(4)).await;
    }
}
