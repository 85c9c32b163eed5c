//! A subscription to one NATS subject that survives outages.

use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures_util::StreamExt;
use tokio::sync::watch;

use crate::bus::Bus;

/// How often the counters of all topics are compared with the rows.
pub const CHECK_EVERY: Duration = Duration::from_secs(5);
/// How long a new listener waits for NATS.
const SUBSCRIBE_WAIT: Duration = Duration::from_secs(1);

/// A subscription for as long as this value lives. It survives a broken connection, but misses what is
/// published meanwhile.
pub struct Subject {
    bus: Bus,
    name: String,
    reconnects: watch::Receiver<u64>,
    /// `None` if NATS was unreachable.
    subscriber: Option<Subscriber>,
}

impl Subject {
    /// Subscribes; if NATS is unreachable, once [`Subject::again`] succeeds.
    pub async fn listen(bus: Bus, name: String) -> Self {
        let reconnects = bus.reconnects();
        let mut subject = Self { bus, name, reconnects, subscriber: None };
        subject.again().await;
        subject
    }

    /// Tries to subscribe.
    pub async fn again(&mut self) {
        let asked = tokio::time::timeout(SUBSCRIBE_WAIT, self.bus.subscribe(&self.name)).await;
        self.subscriber = match asked {
            Ok(Ok(subscriber)) => Some(subscriber),
            Ok(Err(error)) => {
                tracing::debug!(cause = %error, "can't subscribe: NATS is unreachable");
                None
            }
            Err(_) => None,
        };
    }

    /// The next message; `None` if not subscribed: call [`Subject::again`]. Cancel safe.
    pub async fn next(&mut self) -> Option<Message> {
        match &mut self.subscriber {
            Some(subscriber) => match subscriber.next().await {
                Some(message) => return Some(message),
                // The connection was given up for good.
                None => self.subscriber = None,
            },
            None => back_or_later(&mut self.reconnects).await,
        }
        None
    }
}

/// Waits until NATS is back, or until the next attempt.
async fn back_or_later(reconnects: &mut watch::Receiver<u64>) {
    if let Ok(Err(_)) = tokio::time::timeout(CHECK_EVERY, reconnects.changed()).await {
        tokio::time::sleep(CHECK_EVERY).await;
    }
}
