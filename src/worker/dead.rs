//! Events that an effect gave up: put away, listed and replayed.

use std::fmt;

use anyhow::Context as _;
use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::Message;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};

use crate::bus::{Bus, EVENT_ID, event_id};
use crate::model::{Error, Result};

const ERROR: &str = "Fowergram-Error";
const DELIVERIES: &str = "Fowergram-Deliveries";
const SUBJECT: &str = "Fowergram-Subject";

/// An event that waits for an operator.
#[derive(Debug, Clone)]
pub struct DeadEvent {
    /// Its place in the stream of dead events.
    pub sequence: u64,
    pub effect: String,
    pub event_id: String,
    /// The code of the last error.
    pub error: String,
    pub deliveries: String,
    pub payload: String,
}

impl fmt::Display for DeadEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, effect, event_id, error, deliveries, payload } = self;
        write!(f, "{sequence}  {effect}  {event_id}  {error} after {deliveries}  {payload}")
    }
}

/// Keeps an event that can't be applied, with what is known of it.
pub(super) async fn dead_letter(
    bus: &Bus,
    effect: &str,
    message: &Message,
    error: &str,
    deliveries: i64,
) -> anyhow::Result<()> {
    let mut headers = HeaderMap::new();
    if let Some(id) = message.headers.as_ref().and_then(event_id) {
        headers.insert(EVENT_ID, id);
    }
    headers.insert(ERROR, error);
    headers.insert(DELIVERIES, deliveries.to_string());
    headers.insert(SUBJECT, message.subject.as_str());
    if let Ok(info) = message.info() {
        // Two workers may dead-letter the same delivery.
        headers.insert(NATS_MESSAGE_ID, format!("{effect}.{}", info.stream_sequence));
    }
    bus.publish_with_headers(bus.full(&format!("dead.{effect}")), headers, message.payload.clone()).await
}

/// The dead events, oldest first, not more than `limit`.
pub async fn list(bus: &Bus, limit: usize) -> anyhow::Result<Vec<DeadEvent>> {
    let stream = open(bus).await?;
    let mut events = Vec::new();
    let mut sequence = 1;
    while events.len() < limit
        && let Some(message) = next(bus, &stream, sequence).await?
    {
        sequence = message.sequence + 1;
        events.push(DeadEvent {
            sequence: message.sequence,
            effect: message.subject.rsplit('.').next().unwrap_or_default().to_owned(),
            event_id: header(&message, EVENT_ID).to_owned(),
            error: header(&message, ERROR).to_owned(),
            deliveries: header(&message, DELIVERIES).to_owned(),
            payload: String::from_utf8_lossy(&message.payload).into_owned(),
        });
    }
    Ok(events)
}

/// Sets the gauge of dead events, if NATS is there.
pub async fn record(bus: &Bus) -> Result<()> {
    if !bus.is_connected() {
        return Ok(());
    }
    let stream = open(bus).await.map_err(Error::internal)?;
    let messages = stream.cached_info().state.messages;
    metrics::gauge!("fowergram_dead_events").set(u32::try_from(messages).unwrap_or(u32::MAX));
    Ok(())
}

/// Publishes dead events again, one or all, and says how many. All effects get them again, which those
/// that had applied them do not mind.
pub async fn replay(bus: &Bus, one: Option<u64>) -> anyhow::Result<u64> {
    let stream = open(bus).await?;
    // What dies again while this runs is for the next time.
    let last = stream.get_info().await?.state.last_sequence;
    let mut sequence = one.unwrap_or(1);
    let mut count = 0;
    while sequence <= one.unwrap_or(last)
        && let Some(message) = next(bus, &stream, sequence).await?
        && message.sequence <= one.unwrap_or(last)
    {
        republish(bus, &message).await?;
        stream.delete_message(message.sequence).await?;
        sequence = message.sequence + 1;
        count += 1;
    }
    anyhow::ensure!(one.is_none() || count == 1, "there is no dead event with this number");
    Ok(count)
}

async fn republish(bus: &Bus, message: &StreamMessage) -> anyhow::Result<()> {
    let subject = message.headers.get(SUBJECT).context("a dead event without its subject")?;
    let id = header(message, EVENT_ID);
    let mut headers = HeaderMap::new();
    headers.insert(EVENT_ID, id);
    // Another id than the event's own, which the stream may remember; and always the same, so that a
    // replay that was cut off can be run again.
    headers.insert(NATS_MESSAGE_ID, format!("{id}.replay.{}", message.sequence));
    bus.publish_with_headers(subject.to_string(), headers, message.payload.clone()).await
}

async fn open(bus: &Bus) -> anyhow::Result<Stream> {
    bus.jetstream().get_stream(bus.dead_stream()).await.context("NATS does not show the dead events")
}

/// The first dead event that is not before this place.
async fn next(bus: &Bus, stream: &Stream, sequence: u64) -> anyhow::Result<Option<StreamMessage>> {
    match stream.get_first_raw_message_by_subject(bus.full("dead.>"), sequence).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn header<'a>(message: &'a StreamMessage, name: &str) -> &'a str {
    message.headers.get(name).map_or("", |value| value.as_str())
}
