//! The topics that are listened to: who comes first starts a topic's pump, who goes last ends it.

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

/// All topics that are listened to in this process. Cheap to clone.
#[derive(Clone)]
pub struct Topics(Arc<Inner>);

struct Inner {
    held: Registry<Topic, TopicState>,
    source: Source,
    bus: Bus,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A topic while anybody listens to it.
struct TopicState {
    topic: Topic,
    topics: Weak<Inner>,
    ring: Arc<Ring>,
    /// Where the topic stood when the first one came; set once the pump runs.
    started: OnceCell<()>,
    stop: CancellationToken,
    _stop_with_last: DropGuard,
}

impl Topics {
    /// Starts the process-wide check. It and the pumps end when `stop` is cancelled.
    pub fn start(store: Store, feeds: Feeds, bus: Bus, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let source = Source::new(store, feeds);
        let topics = Self(Arc::new(Inner { held: Registry::new(), source, bus, tasks: tasks.clone(), stop }));
        tasks.spawn(topics.clone().check_until_stopped());
        topics
    }

    /// Begins to listen. When it returns, the topic is subscribed to and its counter was read after that.
    pub async fn attach(&self, topic: Topic) -> Result<TopicHandle> {
        let state = self.state(topic);
        // Boxed, so that a stream does not hold on to the room that the start of its topic took.
        state.started.get_or_try_init(|| Box::pin(self.start_topic(&state))).await?;
        let attached = state.ring.newest();
        Ok(TopicHandle { state, attached })
    }

    /// The topic's state, shared by all who listen or are about to.
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
        // Without NATS there is nothing to hear; then the process-wide check tells of new rows.
        let subject = Subject::listen(bus.clone(), state.topic.subject()).await;
        let pump = Pump::new(state.topic, state.ring.clone(), source.clone());
        state.ring.begin(source.position(state.topic).await?);
        let stop = state.stop.clone();
        tasks.spawn(async move { stop.run_until_cancelled(pump.run(subject)).await });
        Ok(())
    }

    /// Compares the counters of all topics with the rows: every few seconds, and when NATS has come back.
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

/// Somebody who listens to a topic. The topic ends with its last handle.
pub struct TopicHandle {
    state: Arc<TopicState>,
    attached: Position,
}

impl TopicHandle {
    pub fn topic(&self) -> Topic {
        self.state.topic
    }

    /// Where the topic stood when this handle was made.
    pub fn attached(&self) -> Position {
        self.attached
    }

    /// Where the topic stands.
    pub fn newest(&self) -> Position {
        self.state.ring.newest()
    }

    /// The changes behind a position: from the ring if it reaches back so far, else from the rows.
    pub async fn changes(&self, after: Position, limit: usize) -> Result<Found> {
        if let Some(changes) = self.state.ring.after(after, limit) {
            return Ok(Found::Changes(changes));
        }
        match self.state.topics.upgrade() {
            Some(topics) => topics.source.changes(self.topic(), after, limit).await,
            None => Ok(Found::Changes(Changes { changes: Vec::new(), reached: after })),
        }
    }

    /// Waits until there is something behind the position. In a stopping process there is nothing any
    /// more, and this does not end: the end of a stream would tell clients that they have heard all.
    pub async fn wait_beyond(&self, position: Position) {
        self.state.ring.wait_beyond(position).await;
    }
}
