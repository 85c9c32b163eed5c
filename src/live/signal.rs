//! What is told to those who are there, and not kept: as it comes from NATS, and only while NATS is there.

use std::sync::{Arc, Weak};

use async_nats::Message;
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OnceCell, broadcast};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::subject::Subject;
use super::{Hub, Inner, Position, RETRY, TopicHandle};
use crate::bus::event_id;
use crate::model::event::{Event, likes_subject, typing_subject};
use crate::model::id::{ConversationId, EventId, PostId, UserId};
use crate::model::typing::Typing;
use crate::model::{Error, Result};

/// How much is kept for a listener that is behind; one that is further behind misses the oldest.
const CAPACITY: usize = 64;

/// What can be listened to, and has no history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// The likes of a post.
    Likes(PostId),
    /// Who is typing in a conversation.
    Typing(ConversationId),
}

/// What a signal says.
#[derive(Debug, Clone, Copy)]
pub enum Said {
    /// Somebody likes the post. It may be said more than once, of the same event.
    Liked {
        event: EventId,
        user: UserId,
    },
    Typing(Typing),
}

impl Signal {
    /// Where NATS tells of it, behind the namespace.
    fn subject(self) -> String {
        match self {
            Self::Likes(post) => format!("event.{}", likes_subject(post)),
            Self::Typing(conversation) => typing_subject(conversation),
        }
    }

    /// What a message says; nothing, where it is of no interest or can't be read.
    fn read(self, message: &Message) -> Option<Said> {
        match self {
            Self::Likes(_) => {
                let id = Uuid::try_parse(event_id(message.headers.as_ref()?)?).ok()?;
                let event = EventId::try_from(id).ok()?;
                match serde_json::from_slice(&message.payload).ok()? {
                    // A like that was taken back and given again is not told again.
                    Event::PostLiked { user, active: true, version: 1, .. } => {
                        Some(Said::Liked { event, user })
                    }
                    _ => None,
                }
            }
            Self::Typing(_) => serde_json::from_slice(&message.payload).ok().map(Said::Typing),
        }
    }
}

/// A signal while anybody listens to it.
pub struct SignalState {
    signal: Signal,
    hub: Weak<Inner>,
    said: broadcast::Sender<Said>,
    /// Set once the signal is subscribed to.
    started: OnceCell<()>,
    stop: CancellationToken,
    _stop_with_last: DropGuard,
}

impl Drop for SignalState {
    fn drop(&mut self) {
        metrics::gauge!("fowergram_live_signals").decrement(1);
        if let Some(hub) = self.hub.upgrade() {
            hub.signals.forget(&self.signal);
        }
    }
}

/// Somebody who listens to a signal. The subscription ends with its last listener.
pub struct Listener {
    _state: Arc<SignalState>,
    said: broadcast::Receiver<Said>,
}

impl Hub {
    /// Begins to listen. When it returns, the signal is subscribed to, if NATS is there.
    pub async fn listen(&self, signal: Signal) -> Listener {
        let state = self.0.signals.hold(signal, || {
            metrics::gauge!("fowergram_live_signals").increment(1);
            let stop = self.0.stop.child_token();
            SignalState {
                signal,
                hub: Arc::downgrade(&self.0),
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
                    // Nobody may be left to hear it.
                    Some(message) => _ = signal.read(&message).map(|what| said.send(what)),
                    None => subject.again().await,
                }
            }
        };
        self.0.tasks.spawn(async move { stop.run_until_cancelled(pass_on).await });
    }
}

impl Listener {
    /// The next that is said. Never in a stopping process: the end would tell clients that they have heard
    /// all.
    async fn next(&mut self) -> Said {
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

struct Hearer<A> {
    listener: Listener,
    watched: Option<(TopicHandle, Position)>,
    allowed: A,
}

/// What is said from now on. `allowed` is asked before each of it is told, and whenever the `watched` topic
/// has changed; its refusal ends the stream. While a shard is away that decides, nothing is told.
pub fn signals<A, F>(
    listener: Listener,
    watched: Option<TopicHandle>,
    allowed: A,
) -> impl Stream<Item = Result<Said>>
where
    A: Fn() -> F,
    F: Future<Output = Result<()>>,
{
    let watched = watched.map(|handle| {
        let attached = handle.attached();
        (handle, attached)
    });
    unfold(Some(Hearer { listener, watched, allowed }), |hearer| async move {
        let mut hearer = hearer?;
        let item = hearer.next().await;
        let left = item.is_ok().then_some(hearer);
        Some((item, left))
    })
}

impl<A, F> Hearer<A>
where
    A: Fn() -> F,
    F: Future<Output = Result<()>>,
{
    async fn next(&mut self) -> Result<Said> {
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
