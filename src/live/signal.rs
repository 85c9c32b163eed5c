//! Signals: live-only messages from NATS that are not stored.

use std::sync::{Arc, Weak};

use async_nats::Message;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OnceCell, broadcast};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::registry::Registry;
use super::source::RETRY;
use super::subject::Subject;
use super::topics::TopicHandle;
use crate::bus::{Bus, event_id};
use crate::model::event::{Event, likes_subject, typing_subject};
use crate::model::id::{ConversationId, EventId, PostId, UserId};
use crate::model::stream::Position;
use crate::model::typing::Typing;
use crate::model::{Error, Result};

/// The buffer of a listener; one that falls further behind misses the oldest.
const CAPACITY: usize = 64;

/// A live-only subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// The likes of a post.
    Likes(PostId),
    /// Who is typing in a conversation.
    Typing(ConversationId),
}

/// One message of a signal.
#[derive(Debug, Clone, Copy)]
pub enum SignalEvent {
    /// Somebody likes the post. The same event may be delivered more than once.
    Liked {
        event: EventId,
        user: UserId,
    },
    Typing(Typing),
}

impl Signal {
    /// The NATS subject, without the namespace.
    fn subject(self) -> String {
        match self {
            Self::Likes(post) => format!("event.{}", likes_subject(post)),
            Self::Typing(conversation) => typing_subject(conversation),
        }
    }

    /// Parses a message; `None` if it is irrelevant or invalid.
    fn read(self, message: &Message) -> Option<SignalEvent> {
        match self {
            Self::Likes(_) => {
                let id = Uuid::try_parse(event_id(message.headers.as_ref()?)?).ok()?;
                let event = EventId::try_from(id).ok()?;
                match serde_json::from_slice(&message.payload).ok()? {
                    // A like that was taken back and given again is not told again.
                    Event::PostLiked { user, active: true, version: 1, .. } => {
                        Some(SignalEvent::Liked { event, user })
                    }
                    _ => None,
                }
            }
            Self::Typing(_) => serde_json::from_slice(&message.payload).ok().map(SignalEvent::Typing),
        }
    }
}

/// All signals with listeners in this process. Cheap to clone.
#[derive(Clone)]
pub struct Signals(Arc<Inner>);

struct Inner {
    held: Registry<Signal, SignalState>,
    bus: Bus,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// A signal with listeners.
struct SignalState {
    signal: Signal,
    signals: Weak<Inner>,
    said: broadcast::Sender<SignalEvent>,
    /// Set once the signal is subscribed to.
    started: OnceCell<()>,
    stop: CancellationToken,
    _stop_with_last: DropGuard,
}

impl Drop for SignalState {
    fn drop(&mut self) {
        metrics::gauge!("fowergram_live_signals").decrement(1);
        if let Some(signals) = self.signals.upgrade() {
            signals.held.forget(&self.signal);
        }
    }
}

/// A listener of a signal. The subscription ends with its last listener.
pub struct Listener {
    _state: Arc<SignalState>,
    said: broadcast::Receiver<SignalEvent>,
}

impl Signals {
    /// Subscriptions end when `stop` is cancelled.
    pub fn new(bus: Bus, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        Self(Arc::new(Inner { held: Registry::new(), bus, tasks: tasks.clone(), stop }))
    }

    /// Starts to listen. On return the signal is subscribed to, if NATS is reachable.
    pub async fn listen(&self, signal: Signal) -> Listener {
        let state = self.0.held.hold(signal, || {
            metrics::gauge!("fowergram_live_signals").increment(1);
            let stop = self.0.stop.child_token();
            SignalState {
                signal,
                signals: Arc::downgrade(&self.0),
                said: broadcast::Sender::new(CAPACITY),
                started: OnceCell::new(),
                _stop_with_last: stop.clone().drop_guard(),
                stop,
            }
        });
        state.started.get_or_init(|| self.start_signal(&state)).await;
        Listener { said: state.said.subscribe(), _state: state }
    }

    async fn start_signal(&self, state: &SignalState) {
        let (signal, said, stop) = (state.signal, state.said.clone(), state.stop.clone());
        let mut subject = Subject::listen(self.0.bus.clone(), signal.subject()).await;
        let pass_on = async move {
            loop {
                match subject.next().await {
                    // There may be no listener left.
                    Some(message) => _ = signal.read(&message).map(|what| said.send(what)),
                    None => subject.again().await,
                }
            }
        };
        self.0.tasks.spawn(async move { stop.run_until_cancelled(pass_on).await });
    }
}

impl Listener {
    /// The next message. Never returns in a stopping process, because the end of a stream means to clients
    /// that it is complete.
    async fn next(&mut self) -> SignalEvent {
        loop {
            match self.said.recv().await {
                Ok(said) => return said,
                Err(RecvError::Lagged(missed)) => {
                    metrics::counter!("fowergram_live_signals_missed_total").increment(missed);
                }
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

struct SignalReader<A> {
    listener: Listener,
    watched: Option<(TopicHandle, Position)>,
    allowed: A,
}

/// Messages from now on. `allowed` is checked before each is delivered, and whenever the `watched` topic
/// changes; if it refuses, the stream ends. While a shard that decides is down, nothing is delivered.
pub fn signals<A, F>(
    listener: Listener,
    watched: Option<TopicHandle>,
    allowed: A,
) -> impl Stream<Item = Result<SignalEvent>>
where
    A: Fn() -> F,
    F: Future<Output = Result<()>>,
{
    let watched = watched.map(|handle| {
        let attached = handle.attached();
        (handle, attached)
    });
    unfold(Some(SignalReader { listener, watched, allowed }), |reader| async move {
        let mut reader = reader?;
        let item = reader.next().await;
        let left = item.is_ok().then_some(reader);
        Some((item, left))
    })
}

impl<A, F> SignalReader<A>
where
    A: Fn() -> F,
    F: Future<Output = Result<()>>,
{
    async fn next(&mut self) -> Result<SignalEvent> {
        loop {
            let said = tokio::select! {
                said = self.listener.next() => Some(said),
                () = changed(self.watched.as_ref()) => None,
            };
            let newest = self.watched.as_ref().map(|(handle, _)| handle.newest());
            match (self.allowed)().await {
                Ok(()) => {
                    if let (Some((_, position)), Some(newest)) = (&mut self.watched, newest) {
                        *position = newest;
                    }
                    if let Some(said) = said {
                        return Ok(said);
                    }
                }
                Err(Error::ShardUnavailable | Error::Timeout) => tokio::time::sleep(RETRY).await,
                Err(error) => return Err(error),
            }
        }
    }
}

async fn changed(watched: Option<&(TopicHandle, Position)>) {
    match watched {
        Some((handle, position)) => handle.wait_beyond(*position).await,
        None => std::future::pending().await,
    }
}
