//! Live updates. Every stream is read from rows; NATS only says that there is something to read, so that
//! a lost or repeated signal loses and repeats nothing.
//!
//! A topic's rows are numbered without holes. The first who listens to a topic in this process starts its
//! pump, which reads new rows once for all listeners into a short ring. A listener has a position and no
//! queue: one that falls behind the ring reads from the rows, and nothing overflows.

pub mod cursor;
mod pump;
mod registry;
mod ring;
mod signal;
mod source;
mod stream;
mod subject;

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::bus::Bus;
use crate::cache::Feeds;
use crate::model::Result;
use crate::model::event::{comments_subject, conversation_subject, feed_subject, receiver_subject};
use crate::model::feed::FeedChange;
use crate::model::id::{ConversationId, PostId, UserId};
pub use crate::model::stream::Position;
use crate::store::stream::Marker;
use crate::store::{Store, comment, log, message};
use pump::Pump;
use registry::Registry;
use ring::Ring;
use signal::SignalState;
pub use signal::{Said, Signal, signals};
use source::Source;
pub use stream::{Item, Ready, stream};
use subject::Subject;

/// How often the counters of all topics that are listened to are compared with the rows.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// How long to wait before a shard that did not answer is asked again.
const RETRY: Duration = Duration::from_millis(500);

/// What can be listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// The messages of a conversation, and how far its members have read; numbered by its change counter.
    Conversation(ConversationId),
    /// A user's log.
    Receiver(UserId),
    /// What comes into, and goes from, a user's feed.
    Feed(UserId),
    /// The comments on a post.
    Comments(PostId),
}

impl Topic {
    /// Where NATS tells of it, behind the namespace.
    fn subject(self) -> String {
        match self {
            Self::Conversation(id) => format!("event.{}", conversation_subject(id)),
            Self::Receiver(user) => format!("event.{}", receiver_subject(user)),
            Self::Feed(user) => feed_subject(user),
            Self::Comments(post) => format!("event.{}", comments_subject(post)),
        }
    }
}

/// One change of a topic, in its newest state when it was read.
#[derive(Debug, Clone)]
pub enum Change {
    Message(Arc<message::Model>),
    /// How far somebody has read in a conversation.
    Read(Marker),
    Logged(Arc<log::Row>),
    Feed(FeedChange),
    Comment(Arc<comment::Model>),
}

/// A change and the position that a reader has after it.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub position: Position,
    pub change: Change,
}

/// The next changes in order.
#[derive(Debug, Clone)]
pub struct Changes {
    pub changes: Vec<Delivery>,
    /// Where their reader then stands: not before the last of them, and beyond it where what follows has
    /// no row to be told, as when somebody joins a conversation.
    pub reached: Position,
}

/// What there is behind a position.
#[derive(Debug, Clone)]
pub enum Found {
    Changes(Changes),
    /// The history from there on is gone, or another one; read the state anew and go on from here.
    Gap(Position),
}

/// All topics that are listened to in this process. Cheap to clone.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    topics: Registry<Topic, TopicState>,
    signals: Registry<Signal, SignalState>,
    source: Source,
    bus: Bus,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A topic while anybody listens to it.
struct TopicState {
    topic: Topic,
    hub: Weak<Inner>,
    ring: Arc<Ring>,
    /// Where the topic stood when the first one came; set once the pump runs.
    started: OnceCell<()>,
    stop: CancellationToken,
    _stop_with_last: DropGuard,
}

impl Hub {
    /// Starts the process-wide check. It and the pumps end when `stop` is cancelled.
    pub fn start(store: Store, feeds: Feeds, bus: Bus, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let source = Source::new(store, feeds);
        let (topics, signals) = (Registry::new(), Registry::new());
        let hub = Self(Arc::new(Inner { topics, signals, source, bus, tasks: tasks.clone(), stop }));
        tasks.spawn(hub.clone().check_until_stopped());
        hub
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
        self.0.topics.hold(topic, || {
            metrics::gauge!("fowergram_live_topics").increment(1);
            let stop = self.0.stop.child_token();
            TopicState {
                topic,
                hub: Arc::downgrade(&self.0),
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
        let states = self.0.topics.held();
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
        if let Some(hub) = self.hub.upgrade() {
            hub.topics.forget(&self.topic);
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
        match self.state.hub.upgrade() {
            Some(hub) => hub.source.changes(self.topic(), after, limit).await,
            None => Ok(Found::Changes(Changes { changes: Vec::new(), reached: after })),
        }
    }

    /// Waits until there is something behind the position. In a stopping process there is nothing any
    /// more, and this does not end: the end of a stream would tell clients that they have heard all.
    pub async fn wait_beyond(&self, position: Position) {
        self.state.ring.wait_beyond(position).await;
    }
}
