//! All topics and signals of this process.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::signal::{Listener, Signal, Signals};
use super::topic::Topic;
use super::topics::{TopicHandle, Topics};
use crate::bus::Bus;
use crate::cache::Feeds;
use crate::model::Result;
use crate::store::Store;

/// Topics and signals. Cheap to clone.
#[derive(Clone)]
pub struct Hub {
    topics: Topics,
    signals: Signals,
}

impl Hub {
    /// Starts the periodic check of all topics. It and the pumps end when `stop` is cancelled.
    pub fn start(store: Store, feeds: Feeds, bus: Bus, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let signals = Signals::new(bus.clone(), tasks, stop.clone());
        Self { topics: Topics::start(store, feeds, bus, tasks, stop), signals }
    }

    /// Starts to listen to a topic. On return it is subscribed to, and its counter was read after that.
    pub async fn attach(&self, topic: Topic) -> Result<TopicHandle> {
        self.topics.attach(topic).await
    }

    /// Starts to listen to a signal. On return it is subscribed to, if NATS is reachable.
    pub async fn listen(&self, signal: Signal) -> Listener {
        self.signals.listen(signal).await
    }
}
