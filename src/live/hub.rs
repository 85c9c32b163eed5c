//! All that can be listened to in this process.

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
    /// Starts the process-wide check of topics. It and the pumps end when `stop` is cancelled.
    pub fn start(store: Store, feeds: Feeds, bus: Bus, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let signals = Signals::new(bus.clone(), tasks, stop.clone());
        Self { topics: Topics::start(store, feeds, bus, tasks, stop), signals }
    }

    /// Begins to listen to a topic. When it returns, the topic is subscribed to and its counter was read after that.
    pub async fn attach(&self, topic: Topic) -> Result<TopicHandle> {
        self.topics.attach(topic).await
    }

    /// Begins to listen to a signal. When it returns, the signal is subscribed to, if NATS is there.
    pub async fn listen(&self, signal: Signal) -> Listener {
        self.signals.listen(signal).await
    }
}
