//! Publishing: events to the stream, and messages to current listeners.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use futures_util::future::join_all;
use uuid::Uuid;

use super::{ACK_TIMEOUT, Bus};
use crate::model::event::OutboxRow;

/// How long a message without an ack may take to be handed to the connection.
const BEST_EFFORT_TIMEOUT: Duration = Duration::from_millis(100);

impl Bus {
    /// Publishes to `<namespace>.<subject>`; lost if there is no listener or NATS is down.
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
}
