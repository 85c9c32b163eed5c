//! Reads the new rows of one topic once for all who listen to it.

use std::sync::Arc;

use serde::Deserialize;

use super::ring::Ring;
use super::source::{RETRY, Source};
use super::subject::Subject;
use super::topic::{Delivery, Found, Topic};
use crate::model::Result;
use crate::model::stream::Position;

/// How many rows are read at once.
const PAGE: usize = 200;

/// The counters in an event; the rest is ignored.
#[derive(Deserialize)]
struct Numbers {
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
}

impl Pump {
    pub fn new(topic: Topic, ring: Arc<Ring>, source: Source) -> Self {
        Self { topic, ring, source }
    }

    /// Runs until it is dropped.
    pub async fn run(self, mut subject: Subject) {
        let mut wanted = self.ring.newest();
        loop {
            if self.ring.newest().is_behind(wanted)
                && let Err(error) = self.catch_up(wanted).await
            {
                tracing::debug!(cause = %error, "can't read a topic's rows");
                tokio::time::sleep(RETRY).await;
                continue;
            }
            wanted = tokio::select! {
                position = self.ring.asked() => position,
                signal = subject.next() => if let Some(signal) = signal {
                    self.told(&signal.payload).await
                } else {
                    subject.again().await;
                    self.position().await
                },
            };
        }
    }

    /// The position that a signal announces.
    async fn told(&self, payload: &[u8]) -> Position {
        let signal = serde_json::from_slice::<Numbers>(payload).ok();
        match signal.and_then(|signal| Some((signal.change.or(signal.n)?, signal.generation))) {
            Some((n, generation)) => Position { generation, n },
            None => self.position().await,
        }
    }

    /// The topic's position; if it can't be read, the periodic check will find it.
    async fn position(&self) -> Position {
        self.source.position(self.topic).await.unwrap_or_else(|_| self.ring.newest())
    }

    /// Records how long ago the changes were made.
    fn record_delays(&self, changes: &[Delivery]) {
        let now = self.source.clock().now();
        for made_at in changes.iter().filter_map(|delivery| delivery.change.made_at()) {
            // Clocks of two processes may differ a little.
            let delay = (now - made_at).as_seconds_f64().max(0.0);
            metrics::histogram!("fowergram_live_delivery_seconds").record(delay);
        }
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
            self.record_delays(&found.changes);
            if count < PAGE && newest.is_behind(wanted) {
                // Signals are sent after the commit, so all rows up to this number have been read.
                newest = wanted;
            }
            self.ring.append(found.changes, newest);
            if count < PAGE {
                return Ok(());
            }
        }
    }
}
