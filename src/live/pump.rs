//! Reads the new rows of one topic once for all who listen to it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Subscriber;
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::sync::watch;

use super::ring::Ring;
use super::source::Source;
use super::{CHECK_EVERY, Found, Position, SUBSCRIBE_WAIT, Topic};
use crate::bus::Bus;
use crate::domain::Result;

/// How many rows are read at once.
const PAGE: usize = 200;
/// How long to wait before rows that could not be read are asked for again.
const RETRY: Duration = Duration::from_millis(500);

/// The numbers in the events; the rest of them is not looked at.
#[derive(Deserialize)]
struct Signal {
    /// The counter of a conversation.
    change: Option<i64>,
    /// The counter of a log, a feed or a post's comments.
    n: Option<i64>,
    #[serde(default)]
    generation: u64,
}

pub struct Pump {
    topic: Topic,
    ring: Arc<Ring>,
    source: Source,
    bus: Bus,
}

impl Pump {
    pub fn new(topic: Topic, ring: Arc<Ring>, source: Source, bus: Bus) -> Self {
        Self { topic, ring, source, bus }
    }

    /// Hears of the topic from now on. Without NATS there is nothing to hear; then the process-wide check
    /// tells of new rows, and, when NATS is back, this is tried again.
    pub async fn subscribe(&self) -> Option<Subscriber> {
        let subject = self.topic.subject();
        match tokio::time::timeout(SUBSCRIBE_WAIT, self.bus.subscribe(&subject)).await {
            Ok(Ok(subscriber)) => Some(subscriber),
            Ok(Err(error)) => {
                tracing::debug!(cause = %error, "a topic goes on without NATS");
                None
            }
            Err(_) => None,
        }
    }

    /// Runs until it is dropped.
    pub async fn run(self, mut subscriber: Option<Subscriber>) {
        let mut reconnects = self.bus.reconnects();
        let mut wanted = self.ring.newest();
        loop {
            if self.ring.newest().is_behind(wanted)
                && let Err(error) = self.catch_up(wanted).await
            {
                tracing::debug!(cause = %error, "a topic's rows can't be read now");
                tokio::time::sleep(RETRY).await;
                continue;
            }
            wanted = tokio::select! {
                position = self.ring.asked() => position,
                signal = next(&mut subscriber) => self.told(&signal).await,
                () = back_or_later(&mut reconnects), if subscriber.is_none() => {
                    subscriber = self.subscribe().await;
                    self.position().await
                }
            };
        }
    }

    /// Up to where a signal says that there is something to read.
    async fn told(&self, payload: &[u8]) -> Position {
        let signal = serde_json::from_slice::<Signal>(payload).ok();
        match signal.and_then(|signal| Some((signal.change.or(signal.n)?, signal.generation))) {
            Some((n, generation)) => Position { generation, n },
            None => self.position().await,
        }
    }

    /// Where the topic stands; if that can't be read, the process-wide check will tell.
    async fn position(&self) -> Position {
        self.source.position(self.topic).await.unwrap_or_else(|_| self.ring.newest())
    }

    async fn catch_up(&self, wanted: Position) -> Result<()> {
        loop {
            let after = self.ring.newest();
            let found = match self.source.changes(self.topic, after, PAGE).await? {
                Found::Changes(found) => found,
                Found::Gap(position) => {
                    self.ring.begin(position);
                    return Ok(());
                }
            };
            let (count, mut newest) = (found.changes.len(), found.reached);
            metrics::counter!("fowergram_live_changes_read_total").increment(count as u64);
            if count < PAGE && newest.is_behind(wanted) {
                // A signal is sent after the commit, so all rows up to its number have been read.
                newest = wanted;
            }
            self.ring.append(found.changes, newest);
            if count < PAGE {
                return Ok(());
            }
        }
    }
}

/// Waits until NATS is back, or it is time to try whether it is.
async fn back_or_later(reconnects: &mut watch::Receiver<u64>) {
    if let Ok(Err(_)) = tokio::time::timeout(CHECK_EVERY, reconnects.changed()).await {
        tokio::time::sleep(CHECK_EVERY).await;
    }
}

/// The next signal; without a subscription, none ever. A subscription that has ended is given up.
async fn next(subscriber: &mut Option<Subscriber>) -> bytes::Bytes {
    if let Some(listening) = subscriber
        && let Some(message) = listening.next().await
    {
        return message.payload;
    }
    *subscriber = None;
    std::future::pending().await
}
