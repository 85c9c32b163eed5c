//! Streams that were reserved: each has a token, known to this process only, and is opened once.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dashmap::DashMap;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::connection::{Connection, EventSink};
use crate::domain::viewer::Viewer;
use crate::http::graphql::overloaded;
use crate::http::operations::{Events, MAX_OPERATIONS, Running};
use crate::http::reply::Answer;
use crate::http::state::Http;
use crate::model::{Code, Error};

/// How long a reserved stream waits to be opened.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How many wait at once. An open one takes a seat; these would let somebody take all of them without
/// a connection.
const MAX_WAITING: usize = 1024;

/// What the handlers of event streams share.
#[derive(Clone)]
pub struct Streams {
    http: Http,
    reservations: Arc<Reservations>,
}

/// The streams that can be found by their token.
struct Reservations {
    known: DashMap<String, Arc<Reservation>>,
    waiting: Arc<Semaphore>,
}

impl Streams {
    pub fn new(http: Http) -> Self {
        let waiting = Arc::new(Semaphore::new(MAX_WAITING));
        Self { http, reservations: Arc::new(Reservations { known: DashMap::new(), waiting }) }
    }

    pub fn find(&self, token: &str) -> Option<Arc<Reservation>> {
        self.reservations.known.get(token).map(|known| Arc::clone(&known))
    }
}

impl Deref for Streams {
    type Target = Http;

    fn deref(&self) -> &Http {
        &self.http
    }
}

/// A stream, waiting or open, as requests see it.
pub struct Reservation {
    viewer: Option<Viewer>,
    running: Running,
    arrivals: mpsc::Sender<Events>,
    /// Taken by the first who opens it.
    opening: Mutex<Option<oneshot::Sender<EventSink>>>,
}

impl Reservation {
    /// Whether it was reserved in the session of this viewer, or by a stranger for strangers.
    pub fn is_of(&self, viewer: Option<&Viewer>) -> bool {
        self.viewer.as_ref().map(|own| (own.user, own.session))
            == viewer.map(|viewer| (viewer.user, viewer.session))
    }

    pub const fn running(&self) -> &Running {
        &self.running
    }

    /// Begins to write; gives the sink back where it was opened before.
    pub fn open(&self, sink: EventSink) -> Result<(), EventSink> {
        let opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner).take();
        match opening {
            Some(opening) => opening.send(sink),
            None => Err(sink),
        }
    }

    /// Hands an operation to the stream, which begins it. An error where too many wait for that, as they do
    /// while the client does not read, and where the stream is over.
    pub fn send(&self, events: Events) -> Result<(), TrySendError<Events>> {
        self.arrivals.try_send(events)
    }
}

/// The answer to a token that is unknown, used, another viewer's or another process's.
pub fn unknown() -> Answer {
    Answer::rejected(StatusCode::NOT_FOUND, Code::NotFound, "There is no such stream; reserve one with PUT.")
}

/// The stream with this token, for the viewer who reserved it. A token alone opens the stream, but stands in
/// addresses and so in logs: what runs on it needs the access token as well.
pub fn of(streams: &Streams, token: &str, viewer: Option<&Viewer>) -> Result<Arc<Reservation>, Answer> {
    let reserved = streams.find(token).ok_or_else(unknown)?;
    if viewer.is_none() && reserved.viewer.is_some() {
        return Err(Error::Unauthenticated.into());
    }
    if reserved.is_of(viewer) { Ok(reserved) } else { Err(unknown()) }
}

/// Reserves a stream; its token. Refused where too many wait, the viewer has too many, or the process
/// stops.
pub fn reserve(streams: &Streams, viewer: Option<Viewer>) -> Result<String, Answer> {
    let http = &streams.http;
    let user_permit = http.connections.acquire_for(viewer.as_ref())?;
    let place = Arc::clone(&streams.reservations.waiting).try_acquire_owned().map_err(|_| overloaded())?;
    let stopping = http.app.stopping().clone();
    if stopping.is_cancelled() {
        return Err(overloaded());
    }
    let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let running = Running::default();
    let (arrivals, arriving) = mpsc::channel(MAX_OPERATIONS);
    let (opening, opened) = oneshot::channel();
    let connection = Connection::single(http, viewer.clone(), user_permit, running.clone(), arriving);
    let reservation = Reservation { viewer, running, arrivals, opening: Mutex::new(Some(opening)) };
    streams.reservations.known.insert(token.clone(), Arc::new(reservation));
    let known = Known { reservations: streams.reservations.clone(), token: token.clone() };
    http.socket_tasks.spawn(async move {
        let _known = known;
        let opened = stopping.run_until_cancelled(timeout(OPEN_TIMEOUT, opened)).await;
        if let Some(Ok(Ok(sink))) = opened {
            drop(place);
            connection.run(sink).await;
        }
    });
    Ok(token)
}

/// Makes a stream unknown when it is over.
struct Known {
    reservations: Arc<Reservations>,
    token: String,
}

impl Drop for Known {
    fn drop(&mut self) {
        self.reservations.known.remove(&self.token);
    }
}
