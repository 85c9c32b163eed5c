//! NATS: events to `JetStream` streams, and subjects that are listened to as they come.
//!
//! Subjects are given without the namespace, which is put before all of them here. Nothing that fails
//! here is told to clients: events wait in the outbox, and listeners compare their counters.

mod connection;
mod publish;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_nats::connection::State;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::{Client, HeaderMap, HeaderValue, Subscriber};
use bytes::Bytes;
use tokio::sync::watch;

use crate::config::ServiceConfig;
use crate::model::ServerFault;
use connection::{ADMIN_TIMEOUT, LastFault};

/// How long a publish waits for `JetStream`'s ack.
const ACK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a subscription may take to be in force.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How many publishes wait for their ack before the next one does.
const MAX_UNACKED: usize = 4096;

/// The id of the event that a message carries, where the message's own id is another: a dead event that
/// is replayed.
pub(crate) const EVENT_ID: &str = "Fowergram-Event-Id";

/// The id of the event that a message with these headers carries.
pub(crate) fn event_id(headers: &HeaderMap) -> Option<&str> {
    headers.get(EVENT_ID).or_else(|| headers.get(NATS_MESSAGE_ID)).map(HeaderValue::as_str)
}

/// The connection to NATS. Cheap to clone.
#[derive(Clone)]
pub struct Bus(Arc<Inner>);

struct Inner {
    client: Client,
    /// For publishing: its time-out is that of acks.
    publisher: jetstream::Context,
    /// For streams and consumers.
    admin: jetstream::Context,
    namespace: String,
    reconnects: watch::Receiver<u64>,
    last_fault: LastFault,
}

impl Bus {
    /// Connects now or as soon as NATS is there; an error means that the settings can't be used.
    pub async fn connect(config: &ServiceConfig) -> anyhow::Result<Self> {
        let (count, reconnects) = watch::channel(0);
        let last_fault = LastFault::default();
        let client = connection::connect(&config.nats, count, last_fault.clone()).await?;
        let publisher = ContextBuilder::new()
            .timeout(ACK_TIMEOUT)
            .ack_timeout(ACK_TIMEOUT)
            .max_ack_inflight(MAX_UNACKED)
            .backpressure_on_inflight(true)
            .build(client.clone());
        let admin = ContextBuilder::new().timeout(ADMIN_TIMEOUT).build(client.clone());
        let namespace = config.namespace.as_str().to_owned();
        Ok(Self(Arc::new(Inner { client, publisher, admin, namespace, reconnects, last_fault })))
    }

    /// Whether the connection stands, as far as this end knows.
    pub fn is_connected(&self) -> bool {
        self.0.client.connection_state() == State::Connected
    }

    /// Whether the server answers and lets this process in, and why not.
    pub async fn ready(&self) -> Result<(), ServerFault> {
        if !self.is_connected() {
            return Err(self.0.last_fault.get().unwrap_or(ServerFault::Unreachable));
        }
        let answer = tokio::time::timeout(SUBSCRIBE_TIMEOUT, self.round_trip()).await;
        answer.map_err(|_| ServerFault::TooSlow)
    }

    /// Counts the times at which messages may have been missed: each connection that was made, and each
    /// time that a listener was too slow. What was counted so far is seen.
    pub fn reconnects(&self) -> watch::Receiver<u64> {
        let mut reconnects = self.0.reconnects.clone();
        reconnects.mark_unchanged();
        reconnects
    }

    /// Listens to `<namespace>.<subject>`; on return the server has the subscription. It outlives a
    /// broken connection, and what was published meanwhile is missed.
    pub async fn subscribe(&self, subject: &str) -> anyhow::Result<Subscriber> {
        anyhow::ensure!(self.is_connected(), "not connected to NATS");
        let subject = self.full(subject);
        let subscribe = async {
            let subscriber = self.0.client.subscribe(subject).await?;
            self.round_trip().await;
            anyhow::Ok(subscriber)
        };
        tokio::time::timeout(SUBSCRIBE_TIMEOUT, subscribe).await.context("no answer from NATS")?
    }

    /// The server handles what one connection sends in order, so its answer, that nobody listens there,
    /// comes after it has handled all that was sent before. A flush tells only that the bytes have left.
    async fn round_trip(&self) {
        let _ = self.0.client.request(self.full("nobody"), Bytes::new()).await;
    }

    pub(crate) fn jetstream(&self) -> &jetstream::Context {
        &self.0.admin
    }

    /// The subject as the server knows it.
    pub(crate) fn full(&self, subject: &str) -> String {
        format!("{}.{subject}", self.0.namespace)
    }
}
