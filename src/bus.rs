//! NATS.

use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;

/// The connection to NATS. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    pub client: async_nats::Client,
    pub namespace: String,
    pub reconnected: watch::Receiver<u64>,
}

impl Bus {
    /// Subscribes, and waits until the server knows; at most 2 s.
    pub async fn subscribe(&self, subject: &str) -> anyhow::Result<async_nats::Subscriber> {
        let subject = format!("{}.{subject}", self.namespace);
        let subscribed = async {
            let subscriber = self.client.subscribe(subject).await?;
            self.client.flush().await?;
            anyhow::Ok(subscriber)
        };
        tokio::time::timeout(Duration::from_secs(2), subscribed).await.context("NATS does not answer")?
    }

    /// Counts the times that the connection was made anew.
    pub fn reconnects(&self) -> watch::Receiver<u64> {
        self.reconnected.clone()
    }
}
