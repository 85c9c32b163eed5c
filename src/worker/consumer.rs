//! Durable consumers: each effect sees every event at least once, whatever dies meanwhile.
//!
//! An event is acked after its effect has been committed, so a worker that dies in between leaves it to
//! another, and every effect must be without harm when it comes again. The workers share the consumers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_nats::jetstream::consumer::pull::{Batch, Config as PullConfig};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::{AckKind, Message};
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};
use uuid::Uuid;

use super::dead;
use crate::bus::{Bus, event_id};
use crate::domain::Domain;
use crate::model::event::{Event, trace_parent};
use crate::model::id::EventId;
use crate::model::trace::{self, TARGET};
use crate::model::{Error, Result};

/// How long the server waits for an ack before it redelivers the event.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// How often a running effect extends that time.
const PROGRESS: Duration = Duration::from_secs(10);
/// How long an effect may take.
const MAX_TIME: Duration = Duration::from_mins(1);
/// How many events of an effect may be delivered and not acked, over all workers. Those of a shard that
/// is down wait here, and must not fill it before they are given up.
const MAX_ACK_PENDING: i64 = 10_000;
/// How many events are asked for at once, and how long the question stands.
const MAX_BATCH: usize = 256;
const EXPIRES: Duration = Duration::from_secs(5);
/// How often an event is delivered before it is dead, where what fails is not an outage.
const MAX_DELIVERIES: i64 = 8;
/// The same where a shard or the storage can't be reached, or where a worker died at each delivery:
/// eight hours and more.
const MAX_OUTAGE_DELIVERIES: i64 = 1_000;
/// The wait after each failed delivery, in milliseconds; the last is that of all further ones.
const BACKOFF_MS: [u64; 5] = [250, 1_000, 4_000, 15_000, 30_000];
/// How long to wait before a consumer is opened again.
const REOPEN: Duration = Duration::from_millis(250);
const LAG_PERIOD: Duration = Duration::from_secs(10);

type Apply = Arc<dyn Fn(Domain, EventId, Event) -> BoxFuture<'static, Result<()>> + Send + Sync>;

/// What happens elsewhere because of an event. It may be applied more than once, at the same time and in
/// any order.
#[derive(Clone)]
pub struct Effect {
    name: &'static str,
    subjects: &'static str,
    concurrency: usize,
    wants: fn(&Event) -> bool,
    apply: Apply,
}

impl Effect {
    /// An effect of the events that it `wants`. The name is that of its durable consumer: it is never
    /// changed.
    pub fn new<F, R>(name: &'static str, wants: fn(&Event) -> bool, apply: F) -> Self
    where
        F: Fn(Domain, EventId, Event) -> R + Send + Sync + 'static,
        R: Future<Output = Result<()>> + Send + 'static,
    {
        let apply: Apply = Arc::new(move |domain, id, event| apply(domain, id, event).boxed());
        Self { name, subjects: ">", concurrency: 16, wants, apply }
    }

    /// Lets the server sort out other subjects: one pattern, as in `post.>`.
    #[must_use]
    pub fn only(self, subjects: &'static str) -> Self {
        Self { subjects, ..self }
    }

    /// How many are applied at once in this process, instead of 16.
    #[must_use]
    pub fn at_once(self, concurrency: usize) -> Self {
        Self { concurrency, ..self }
    }
}

/// Applies an effect to all its events, until the process stops; then ends what runs and returns.
pub async fn run(effect: Effect, domain: Domain, bus: Bus, stopping: CancellationToken) {
    let mut work = Work { effect, domain, bus, running: JoinSet::new(), waiting: VecDeque::new(), stopping };
    while !work.stopping.is_cancelled() {
        if let Err(error) = work.consume().await {
            tracing::debug!(effect = work.effect.name, %error, "consumer is opened again");
            let stopping = work.stopping.clone();
            stopping.run_until_cancelled(tokio::time::sleep(REOPEN)).await;
        }
    }
    for message in work.waiting.drain(..) {
        answer(&message, AckKind::Nak(None)).await;
    }
    work.running.join_all().await;
}

struct Work {
    effect: Effect,
    domain: Domain,
    bus: Bus,
    running: JoinSet<()>,
    /// Delivered, and not begun.
    waiting: VecDeque<Message>,
    stopping: CancellationToken,
}

impl Work {
    /// Opens the consumer and takes from it until it breaks or the process stops. What runs goes on.
    async fn consume(&mut self) -> anyhow::Result<()> {
        anyhow::ensure!(self.bus.is_connected(), "not connected to NATS");
        let mut reconnects = self.bus.reconnects();
        let consumer = self.open().await?;
        let mut lag = tokio::time::interval(LAG_PERIOD);
        let mut batch = None;
        let stopping = self.stopping.clone();
        while !stopping.is_cancelled() {
            self.start_waiting();
            if batch.is_none() && self.waiting.is_empty() {
                batch = Some(self.ask(&consumer).await?);
            }
            tokio::select! {
                () = stopping.cancelled() => {}
                // A broken connection takes the question with it; the answer would never come.
                _ = reconnects.changed() => return Ok(()),
                Some(done) = self.running.join_next() => self.ended(done),
                message = next(&mut batch) => match message {
                    Some(message) => self.waiting.push_back(message.map_err(|error| anyhow::anyhow!(error))?),
                    None => batch = None,
                },
                _ = lag.tick() => self.record_lag(&consumer).await?,
            }
        }
        // What has arrived and is not taken from the batch would wait for the time-out of its ack.
        while let Some(Some(Ok(message))) = next(&mut batch).now_or_never() {
            self.waiting.push_back(message);
        }
        Ok(())
    }

    async fn open(&self) -> anyhow::Result<Consumer<PullConfig>> {
        let config = PullConfig {
            durable_name: Some(self.effect.name.to_owned()),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: MAX_ACK_PENDING,
            filter_subject: self.bus.full(&format!("event.{}", self.effect.subjects)),
            ..PullConfig::default()
        };
        let stream = self.bus.event_stream();
        let jetstream = self.bus.jetstream();
        if let Ok(consumer) = jetstream.create_consumer_on_stream(config.clone(), stream.clone()).await {
            return Ok(consumer);
        }
        // The stream is not there yet, or not any more.
        self.bus.ensure_streams().await?;
        Ok(jetstream.create_consumer_on_stream(config, stream).await?)
    }

    async fn ask(&self, consumer: &Consumer<PullConfig>) -> anyhow::Result<Batch> {
        // No more than what is begun soon: an event that waits here is not with another worker.
        let size = MAX_BATCH.min(4 * self.effect.concurrency);
        let ask = consumer.batch().max_messages(size).expires(EXPIRES).messages();
        Ok(tokio::time::timeout(EXPIRES, ask).await.context("NATS takes nothing")??)
    }

    fn start_waiting(&mut self) {
        while self.running.len() < self.effect.concurrency
            && let Some(message) = self.waiting.pop_front()
        {
            let (effect, domain, bus) = (self.effect.clone(), self.domain.clone(), self.bus.clone());
            self.running.spawn(async move {
                let span = span(&effect, &message);
                handle(&effect, domain, &bus, message).instrument(span).await;
            });
        }
    }

    fn ended(&self, done: std::result::Result<(), tokio::task::JoinError>) {
        if let Err(error) = done {
            // The event is delivered again, until it is dead.
            tracing::error!(effect = self.effect.name, %error, "an effect panicked");
            count(&self.effect, "panic");
        }
    }

    async fn record_lag(&self, consumer: &Consumer<PullConfig>) -> anyhow::Result<()> {
        let info = consumer.get_info().await?;
        let gauge = |state: &'static str| metrics::gauge!("fowergram_consumer_events", "effect" => self.effect.name, "state" => state);
        gauge("pending").set(u32::try_from(info.num_pending).unwrap_or(u32::MAX));
        gauge("unacked").set(u32::try_from(info.num_ack_pending).unwrap_or(u32::MAX));
        Ok(())
    }
}

async fn next(batch: &mut Option<Batch>) -> Option<std::result::Result<Message, async_nats::Error>> {
    match batch {
        Some(batch) => batch.next().await,
        None => std::future::pending().await,
    }
}

/// The span of an effect, below that in which its event was emitted.
fn span(effect: &Effect, message: &Message) -> Span {
    let parent = || trace_parent(&message.payload);
    trace::effect_span(parent, || {
        info_span!(
            target: TARGET,
            "effect",
            otel.name = format!("effect {}", effect.name),
            otel.kind = "consumer",
            messaging.system = "nats",
            messaging.consumer.group.name = effect.name,
            otel.status_code = Empty,
        )
    })
}

/// Applies the effect to one event and answers the server.
async fn handle(effect: &Effect, domain: Domain, bus: &Bus, message: Message) {
    let delivered = message.info().map_or(1, |info| info.delivered);
    if delivered > 1 {
        metrics::counter!("fowergram_redeliveries_total", "effect" => effect.name).increment(1);
    }
    let failed = match decode(&message) {
        // Earlier deliveries ended without an answer: this event ends the process that handles it.
        _ if delivered > MAX_OUTAGE_DELIVERIES => "LOST",
        Err(error) if is_of_newer(&error) && delivered < MAX_DELIVERIES => {
            tracing::warn!(effect = effect.name, subject = %message.subject, %error, "event of a newer program");
            count(effect, "again");
            return answer(&message, AckKind::Nak(Some(backoff(delivered)))).await;
        }
        Err(error) => {
            tracing::error!(effect = effect.name, subject = %message.subject, %error, "event can't be read");
            "UNREADABLE"
        }
        Ok((_, event)) if !(effect.wants)(&event) => return answer(&message, AckKind::Ack).await,
        Ok((id, event)) => match apply(effect, domain, &message, id, event).await {
            Ok(()) => {
                count(effect, "done");
                return answer(&message, AckKind::Ack).await;
            }
            Err(error) if delivered < deliveries(&error) => {
                tracing::debug!(effect = effect.name, event = %id, delivered, %error, "effect is tried again");
                count(effect, "again");
                return answer(&message, AckKind::Nak(Some(backoff(delivered)))).await;
            }
            Err(error) => {
                tracing::error!(effect = effect.name, event = %id, delivered, cause = ?error, "effect failed");
                error.code().as_str()
            }
        },
    };
    match dead::dead_letter(bus, effect.name, &message, failed, delivered).await {
        Ok(()) => {
            count(effect, "dead");
            answer(&message, AckKind::Term).await;
        }
        Err(error) => {
            tracing::warn!(effect = effect.name, %error, "a dead event can't be put away yet");
            answer(&message, AckKind::Nak(Some(backoff(delivered)))).await;
        }
    }
}

fn decode(message: &Message) -> anyhow::Result<(EventId, Event)> {
    let headers = message.headers.as_ref().context("no headers")?;
    let id = event_id(headers).context("no id")?;
    let id = EventId::try_from(Uuid::try_parse(id)?).map_err(anyhow::Error::msg)?;
    Ok((id, serde_json::from_slice(&message.payload)?))
}

/// Whether it is an event, but not one that this program knows: a worker of the release that wrote it may take it.
fn is_of_newer(error: &anyhow::Error) -> bool {
    error.downcast_ref::<serde_json::Error>().is_some_and(serde_json::Error::is_data)
}

/// Runs the effect, in bounded time, and keeps the server from giving the event to others meanwhile.
async fn apply(effect: &Effect, domain: Domain, message: &Message, id: EventId, event: Event) -> Result<()> {
    let start = Instant::now();
    let work = tokio::time::timeout(MAX_TIME, (effect.apply)(domain, id, event));
    let progress = async {
        loop {
            tokio::time::sleep(PROGRESS).await;
            answer(message, AckKind::Progress).await;
        }
    };
    let result = tokio::select! {
        result = work => result.unwrap_or(Err(Error::Timeout)),
        () = progress => Err(Error::Timeout),
    };
    if result.is_err() {
        Span::current().record("otel.status_code", "ERROR");
    }
    metrics::histogram!("fowergram_effect_duration_seconds", "effect" => effect.name).record(start.elapsed());
    result
}

/// An answer that is lost is the time-out's: the event comes again.
async fn answer(message: &Message, kind: AckKind) {
    if !matches!(tokio::time::timeout(EXPIRES, message.ack_with(kind)).await, Ok(Ok(()))) {
        tracing::debug!(subject = %message.subject, "an answer to NATS was lost");
    }
}

/// How often an event that fails with this is delivered.
fn deliveries(error: &Error) -> i64 {
    match error {
        Error::ShardUnavailable | Error::StorageUnavailable => MAX_OUTAGE_DELIVERIES,
        error if error.is_transient() => MAX_DELIVERIES,
        _ => 1,
    }
}

fn backoff(delivered: i64) -> Duration {
    let index = usize::try_from(delivered - 1).unwrap_or(0).min(BACKOFF_MS.len() - 1);
    Duration::from_millis(BACKOFF_MS[index])
}

fn count(effect: &Effect, outcome: &'static str) {
    metrics::counter!("fowergram_effects_total", "effect" => effect.name, "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waited(deliveries: i64) -> Duration {
        (1..deliveries).map(backoff).sum()
    }

    /// docs/OPERATIONS.md and docs/ARCHITECTURE.md say so.
    #[test]
    fn effects_are_tried_for_as_long_as_the_docs_say() {
        let passing = waited(MAX_DELIVERIES);
        assert!((Duration::from_secs(100)..Duration::from_secs(140)).contains(&passing), "{passing:?}");
        let outage = waited(MAX_OUTAGE_DELIVERIES);
        assert!((Duration::from_hours(8)..Duration::from_hours(9)).contains(&outage), "{outage:?}");
    }
}
