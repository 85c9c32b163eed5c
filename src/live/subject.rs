//! One subject of NATS, with NATS or without.

use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures_util::StreamExt;
use tokio::sync::watch;

use crate::bus::Bus;

/// How often the counters of all topics that are listened to are compared with the rows.
pub const CHECK_EVERY: Duration = Duration::from_secs(5);
/// How long somebody who starts to listen waits for NATS.
const SUBSCRIBE_WAIT: Duration = Duration::from_secs(1);

/// A subject that is listened to for as long as this is there. The subscription outlives a broken
/// connection, and what was published meanwhile is missed.
pub struct Subject {
    bus: Bus,
    name: String,
    reconnects: watch::Receiver<u64>,
    /// None where NATS was away when it was asked.
    subscriber: Option<Subscriber>,
}

impl Subject {
    /// Hears of the subject from now on; where NATS is away, as soon as [`Subject::again`] finds it back.
    pub async fn listen(bus: Bus, name: String) -> Self {
        let reconnects = bus.reconnects();
        let mut subject = Self { bus, name, reconnects, subscriber: None };
        subject.again().await;
        subject
    }

    /// Tries to listen.
    pub async fn again(&mut self) {
        let asked = tokio::time::timeout(SUBSCRIBE_WAIT, self.bus.subscribe(&self.name)).await;
        self.subscriber = match asked {
            Ok(Ok(subscriber)) => Some(subscriber),
            Ok(Err(error)) => {
                tracing::debug!(cause = %error, "a subject is not listened to: there is no NATS");
                None
            }
            Err(_) => None,
        };
    }

    /// The next message. None: nothing is heard, and it is time for [`Subject::again`]. Nothing is lost where
    /// the wait is given up.
    pub async fn next(&mut self) -> Option<Message> {
        match &mut self.subscriber {
            Some(subscriber) => match subscriber.next().await {
                Some(message) => return Some(message),
                // Its connection was given up for good.
                None => self.subscriber = None,
            },
            None => back_or_later(&mut self.reconnects).await,
        }
        None
    }
}

/// Waits until NATS is back, or it is time to try whether it is.
async fn back_or_later(reconnects: &mut watch::Receiver<u64>) {
    if let Ok(Err(_)) = tokio::time::timeout(CHECK_EVERY, reconnects.changed()).await {
        tokio::time::sleep(CHECK_EVERY).await;
    }
}
