//! The system that is tortured: two API processes that are programs of their own, and what breaks.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::sleep;

use crate::harness::binary::Running;
use crate::harness::{SHARDS, World};

/// An API process that comes back at its address.
pub struct Api {
    pub address: SocketAddr,
    settings: Vec<String>,
    running: Running,
}

impl Api {
    pub async fn start(world: &World) -> Self {
        let (running, address) = Running::serve(world.settings()).await;
        let settings = world.settings_with(&[&format!("--port={}", address.port())]);
        Self { address, settings, running }
    }

    /// Kills it as a power cut does; somebody starts it again.
    async fn kill(&mut self) {
        self.running.kill().await;
        sleep(Duration::from_secs(1)).await;
        (self.running, _) = Running::serve(&self.settings).await;
    }
}

/// One thing after the other breaks and comes back: an API process, NATS for so long, a shard's primary.
pub async fn break_things(world: &World, apis: &mut [Api; 2], rounds: usize, without_nats: Duration) {
    let servers = world.servers();
    for round in 0..rounds {
        sleep(Duration::from_secs(2)).await;
        apis[round % 2].kill().await;
        sleep(Duration::from_secs(2)).await;
        servers.nats().stop().await;
        sleep(without_nats).await;
        servers.nats().start().await.expect("NATS starts");
        sleep(Duration::from_secs(2)).await;
        servers.postgres()[round % SHARDS].restart().await.expect("PostgreSQL starts");
        sleep(Duration::from_secs(4)).await;
    }
}
