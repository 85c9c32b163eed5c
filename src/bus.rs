//! NATS: events to `JetStream` streams, and subjects that are listened to as they come.
//!
//! Subjects are given without the namespace, which is put before all of them here. Nothing that fails
//! here is told to clients: events wait in the outbox, and listeners compare their counters.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_nats::connection::State;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::context::{ContextBuilder, PublishAckFuture};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config as StreamConfig, StorageType};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{Client, Event as ClientEvent, HeaderMap, HeaderValue, Subscriber};
use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::ServiceConfig;
use crate::model::event::OutboxRow;

mod connection;

/// How long a publish waits for `JetStream`'s ack.
const ACK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long making a stream, or asking about one, may take.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a subscription may take to be in force.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long something that nobody waits for may take to be handed to the connection.
const BEST_EFFORT_TIMEOUT: Duration = Duration::from_millis(100);
const MAX_RECONNECT_DELAY: Duration = Duration::from_millis(500);
/// How many messages wait for one listener before the newest are dropped and `reconnects` counts.
const SUBSCRIPTION_CAPACITY: usize = 4096;
/// How many commands wait for the connection before a caller does.
const CLIENT_CAPACITY: usize = 2048;
/// How many publishes wait for their ack before the next one does.
const MAX_UNACKED: usize = 4096;

const DAY: Duration = Duration::from_hours(24);
/// What the streams take from the server's disk at most. A server that has less to give gets a stream of
/// the second size.
const EVENT_BYTES: [i64; 2] = [1 << 30, 1 << 26];
const DEAD_BYTES: [i64; 2] = [1 << 26, 1 << 24];

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
}

impl Bus {
    /// Connects now or as soon as NATS is there; an error means that the address is not usable.
    pub async fn connect(config: &ServiceConfig) -> anyhow::Result<Self> {
        let (count, reconnects) = watch::channel(0);
        let count = Arc::new(count);
        let (address, options) = connection::from_url(&config.nats_url)?;
        let client = options
            .name("fowergram")
            .retry_on_initial_connect()
            .max_reconnects(None)
            .connection_timeout(Duration::from_secs(2))
            .reconnect_delay_callback(|attempts| {
                let delay = Duration::from_millis(20) * u32::try_from(attempts).unwrap_or(u32::MAX).min(25);
                delay.min(MAX_RECONNECT_DELAY)
            })
            .ping_interval(Duration::from_secs(10))
            .request_timeout(Some(ADMIN_TIMEOUT))
            .subscription_capacity(SUBSCRIPTION_CAPACITY)
            .client_capacity(CLIENT_CAPACITY)
            .event_callback(move |event| {
                let count = count.clone();
                async move { on_client_event(&event, &count) }
            })
            .connect(address)
            .await
            .context("NATS_URL: can't be used")?;
        let publisher = ContextBuilder::new()
            .timeout(ACK_TIMEOUT)
            .ack_timeout(ACK_TIMEOUT)
            .max_ack_inflight(MAX_UNACKED)
            .backpressure_on_inflight(true)
            .build(client.clone());
        let admin = ContextBuilder::new().timeout(ADMIN_TIMEOUT).build(client.clone());
        let namespace = config.namespace.as_str().to_owned();
        Ok(Self(Arc::new(Inner { client, publisher, admin, namespace, reconnects })))
    }

    /// Whether the connection stands, as far as this end knows.
    pub fn is_connected(&self) -> bool {
        self.0.client.connection_state() == State::Connected
    }

    /// Goes to the server and back.
    pub async fn ping(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.is_connected(), "not connected to NATS");
        tokio::time::timeout(SUBSCRIBE_TIMEOUT, self.round_trip()).await.context("no answer from NATS")
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

    /// Tells `<namespace>.<subject>` to whoever listens now; lost where nobody does or NATS is down.
    pub async fn publish_core(&self, subject: &str, payload: impl Into<Bytes>) {
        if !self.is_connected() {
            return;
        }
        let publish = self.0.client.publish(self.full(subject), payload.into());
        if !matches!(tokio::time::timeout(BEST_EFFORT_TIMEOUT, publish).await, Ok(Ok(()))) {
            metrics::counter!("fowergram_bus_dropped_total").increment(1);
        }
    }

    /// Publishes one event and waits for the stream's ack.
    pub async fn publish_event(&self, id: Uuid, subject: &str, payload: Bytes) -> anyhow::Result<()> {
        self.send_event(id, subject, payload).await?.await?;
        metrics::counter!("fowergram_events_acked_total").increment(1);
        Ok(())
    }

    /// Publishes all side by side; the ids are those that the stream has taken.
    pub async fn publish_events(&self, events: &[OutboxRow]) -> Vec<Uuid> {
        if !self.is_connected() {
            return Vec::new();
        }
        let mut acks = Vec::with_capacity(events.len());
        for event in events {
            match self.send_event(event.id, &event.subject, event.payload.clone().into()).await {
                Ok(ack) => acks.push(async move { (event.id, ack.await) }),
                Err(error) => {
                    // What the connection does not take now it would not take after another wait.
                    tracing::debug!(event = %event.id, %error, "event not published");
                    break;
                }
            }
        }
        let mut acked = Vec::with_capacity(acks.len());
        for (id, ack) in join_all(acks).await {
            match ack {
                Ok(_) => acked.push(id),
                Err(error) => tracing::debug!(event = %id, %error, "event not acked"),
            }
        }
        metrics::counter!("fowergram_events_acked_total").increment(acked.len() as u64);
        acked
    }

    /// Hands one event to the connection. Its id keeps the stream from taking it twice in two minutes.
    async fn send_event(&self, id: Uuid, subject: &str, payload: Bytes) -> anyhow::Result<PublishAckFuture> {
        let message = PublishMessage::build().payload(payload).message_id(id.to_string());
        let subject = format!("{}.event.{subject}", self.0.namespace);
        let send = self.0.publisher.send_publish(subject, message);
        let ack = tokio::time::timeout(ACK_TIMEOUT, send).await.context("NATS takes nothing")??;
        metrics::counter!("fowergram_events_published_total").increment(1);
        Ok(ack)
    }

    /// Publishes to a stream under a full subject, with headers, and waits for the ack.
    pub(crate) async fn publish_with_headers(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> anyhow::Result<()> {
        let message = PublishMessage::build().payload(payload).headers(headers);
        let send = async { anyhow::Ok(self.0.publisher.send_publish(subject, message).await?.await?) };
        tokio::time::timeout(2 * ACK_TIMEOUT, send).await.context("NATS takes nothing")??;
        Ok(())
    }

    /// Makes the two streams, or brings them to what they should be.
    pub async fn ensure_streams(&self) -> anyhow::Result<()> {
        self.ensure_stream(
            self.event_stream(),
            format!("{}.event.>", self.0.namespace),
            7 * DAY,
            EVENT_BYTES,
        )
        .await?;
        self.ensure_stream(self.dead_stream(), format!("{}.dead.>", self.0.namespace), 90 * DAY, DEAD_BYTES)
            .await
    }

    async fn ensure_stream(
        &self,
        name: String,
        subjects: String,
        max_age: Duration,
        [max_bytes, less]: [i64; 2],
    ) -> anyhow::Result<()> {
        let config = StreamConfig {
            name,
            subjects: vec![subjects],
            storage: StorageType::File,
            duplicate_window: Duration::from_mins(2),
            max_age,
            max_bytes,
            ..StreamConfig::default()
        };
        match self.0.admin.get_or_create_stream(config.clone()).await {
            Ok(stream) if same(&stream.cached_info().config, &config, less) => Ok(()),
            Ok(stream) => {
                let max_bytes = stream.cached_info().config.max_bytes;
                self.0.admin.update_stream(StreamConfig { max_bytes, ..config }).await?;
                Ok(())
            }
            Err(error) => {
                let jetstream::context::CreateStreamErrorKind::JetStream(cause) = error.kind() else {
                    return Err(error.into());
                };
                anyhow::ensure!(cause.error_code() == ErrorCode::STORAGE_RESOURCES_EXCEEDED, error);
                tracing::warn!(stream = config.name, "NATS has little room: a small stream is made");
                self.0.admin.create_stream(StreamConfig { max_bytes: less, ..config }).await?;
                Ok(())
            }
        }
    }

    /// Makes the streams as soon as NATS is there, and looks again after each new connection, until the
    /// process stops.
    pub async fn keep_streams(self, stopping: CancellationToken) {
        let mut reconnects = self.reconnects();
        let keep = async {
            loop {
                reconnects.mark_unchanged();
                match self.ensure_streams().await {
                    Ok(()) => {
                        if reconnects.changed().await.is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the streams can't be made yet");
                        tokio::time::sleep(MAX_RECONNECT_DELAY).await;
                    }
                }
            }
        };
        stopping.run_until_cancelled(keep).await;
    }

    /// Takes the streams away, with all that is in them: of a system that is given up.
    pub async fn delete_streams(&self) -> anyhow::Result<()> {
        for stream in [self.event_stream(), self.dead_stream()] {
            self.0.admin.delete_stream(stream).await?;
        }
        Ok(())
    }

    /// The stream of events.
    pub(crate) fn event_stream(&self) -> String {
        format!("{}_EVENTS", self.0.namespace.to_uppercase())
    }

    /// The stream of events that an effect gave up.
    pub(crate) fn dead_stream(&self) -> String {
        format!("{}_DEAD", self.0.namespace.to_uppercase())
    }

    pub(crate) fn jetstream(&self) -> &jetstream::Context {
        &self.0.admin
    }

    /// The subject as the server knows it.
    pub(crate) fn full(&self, subject: &str) -> String {
        format!("{}.{subject}", self.0.namespace)
    }
}

/// Whether a stream needs no change. Its size is left as it is: an operator, or a small server, chose it.
fn same(found: &StreamConfig, wanted: &StreamConfig, less: i64) -> bool {
    found.subjects == wanted.subjects
        && found.max_age == wanted.max_age
        && found.duplicate_window == wanted.duplicate_window
        && found.max_bytes >= less
}

fn on_client_event(event: &ClientEvent, count: &watch::Sender<u64>) {
    match event {
        ClientEvent::Connected => {
            tracing::info!("connected to NATS");
            count.send_modify(|count| *count += 1);
        }
        ClientEvent::SlowConsumer(subscription) => {
            tracing::warn!(subscription, "messages were dropped for a slow listener");
            count.send_modify(|count| *count += 1);
        }
        ClientEvent::Disconnected => tracing::warn!("NATS is gone; events wait in the outbox"),
        other => tracing::debug!(event = %other, "NATS"),
    }
}
