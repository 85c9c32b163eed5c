//! Topics with listeners: the first listener starts a topic's pump, the last ends it.

use std::sync::{Arc, Weak};

use tokio::sync::OnceCell;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::pump::Pump;
use super::registry::Registry;
use super::ring::Ring;
use super::source::Source;
use super::subject::{CHECK_EVERY, Subject};
use super::topic::{Changes, Found, Topic};
use crate::bus::Bus;
use crate::cache::Feeds;
use crate::model::Result;
use crate::model::stream::Position;
use crate::store::Store;

/// All topics with listeners in this process. Cheap to clone.
#[derive(Clone)]
pub struct Topics(Arc<Inner>);

struct Inner {
    held: Registry<Topic, TopicState>,
    source: Source,
    bus: Bus,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A topic with listeners.
struct TopicState {
    topic: Topic,
    topics: Weak<Inner>,
    ring: Arc<Ring>,
    /// Set once the pump runs.
    started: OnceCell<()>,
    stop: CancellationToken,
    _stop_with_last: DropGuard,
}

impl Topics {
    /// Starts the periodic check. It and the pumps end when `stop` is cancelled.
    pub fn start(store: Store, feeds: Feeds, bus: Bus, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let source = Source::new(store, feeds);
        let topics = Self(Arc::new(Inner { held: Registry::new(), source, bus, tasks: tasks.clone(), stop }));
        tasks.spawn(topics.clone().check_until_stopped());
        topics
    }

    /// Starts to listen. On return the topic is subscribed to, and its counter was read after that.
    pub async fn attach(&self, topic: Topic) -> Result<TopicHandle> {
        let state = self.state(topic);
        // Boxed, so that the future of the stream stays small.
        state.started.get_or_try_init(|| Box::pin(self.start_topic(&state))).await?;
        let attached = state.ring.newest();
        Ok(TopicHandle { state, attached })
    }

    /// The topic's state, shared by all listeners.
    fn state(&self, topic: Topic) -> Arc<TopicState> {
        self.0.held.hold(topic, || {
            metrics::gauge!("fowergram_live_topics").increment(1);
            let stop = self.0.stop.child_token();
            TopicState {
                topic,
                topics: Arc::downgrade(&self.0),
                ring: Arc::new(Ring::new()),
                started: OnceCell::new(),
                _stop_with_last: stop.clone().drop_guard(),
                stop,
            }
        })
    }

    async fn start_topic(&self, state: &TopicState) -> Result<()> {
        let Inner { source, bus, tasks, .. } = &*self.0;
        // Without NATS, the periodic check finds new rows.
        let subject = Subject::listen(bus.clone(), state.topic.subject()).await;
        let pump = Pump::new(state.topic, state.ring.clone(), source.clone());
        state.ring.begin(source.position(state.topic).await?);
        let stop = state.stop.clone();
        tasks.spawn(async move { stop.run_until_cancelled(pump.run(subject)).await });
        Ok(())
    }

    /// Compares the counters of all topics with the rows, periodically and when NATS is back.
    async fn check_until_stopped(self) {
        let mut reconnects = self.0.bus.reconnects();
        let stop = self.0.stop.clone();
        let mut nats = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(CHECK_EVERY) => {}
                changed = reconnects.changed(), if nats => nats = changed.is_ok(),
            }
            self.check().await;
        }
    }

    async fn check(&self) {
        let states = self.0.held.held();
        let started = |state: &&Arc<TopicState>| state.started.initialized();
        let topics: Vec<Topic> = states.iter().filter(started).map(|state| state.topic).collect();
        if topics.is_empty() {
            return;
        }
        let positions = self.0.source.positions(&topics).await;
        for state in states.iter().filter(started) {
            if let Some(position) = positions.get(&state.topic) {
                state.ring.expect(*position);
            }
        }
    }
}

impl Drop for TopicState {
    fn drop(&mut self) {
        metrics::gauge!("fowergram_live_topics").decrement(1);
        if let Some(topics) = self.topics.upgrade() {
            topics.held.forget(&self.topic);
        }
    }
}

/// A listener of a topic. The topic ends with its last handle.
pub struct TopicHandle {
    state: Arc<TopicState>,
    attached: Position,
}

impl TopicHandle {
    pub fn topic(&self) -> Topic {
        self.state.topic
    }

    /// The topic's position when this handle was created.
    pub fn attached(&self) -> Position {
        self.attached
    }

    /// The topic's position.
    pub fn newest(&self) -> Position {
        self.state.ring.newest()
    }

    /// The changes after a position: from the ring if it goes back that far, otherwise from the rows.
    pub async fn changes(&self, after: Position, limit: usize) -> Result<Found> {
        if let Some(changes) = self.state.ring.after(after, limit) {
            return Ok(Found::Changes(changes));
        }
        match self.state.topics.upgrade() {
            Some(topics) => topics.source.changes(self.topic(), after, limit).await,
            None => Ok(Found::Changes(Changes { changes: Vec::new(), reached: after })),
        }
    }

    /// Waits for changes after the position. Never returns in a stopping process, because the end of a stream
    /// means to clients that it is complete.
    pub async fn wait_beyond(&self, position: Position) {
        self.state.ring.wait_beyond(position).await;
    }
}
