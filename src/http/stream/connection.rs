//! One open event stream: a task that holds its operations and timers, and writes into its response.

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::Response;
use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::event::{self, KEEP_ALIVE};
use crate::domain::viewer::Viewer;
use crate::graphql::error::Refusal;
use crate::http::auth;
use crate::http::cut::Cut;
use crate::http::operations::{Events, Operations, Outcome, Running, Write};
use crate::http::permit::{ConnectionPermit, UserPermit};
use crate::http::state::Http;
use crate::model::Error;
use crate::telemetry::{self, RequestId};

/// How often something is written where nothing happens, for proxies that end what is silent.
const SILENCE: Duration = Duration::from_secs(12);

/// The way into the body of a response. It holds one event that was not taken; what the server's
/// connection has taken is bounded by its buffer.
pub struct EventSink {
    id: RequestId,
    body: mpsc::Sender<Bytes>,
    cut: Option<Cut>,
    timeout: Duration,
    _permit: ConnectionPermit,
}

/// The client has gone, or does not read.
pub struct Gone;

impl EventSink {
    /// The answer to this request, and the way into its body.
    pub fn new(http: &Http, parts: &Parts, id: &RequestId, permit: ConnectionPermit) -> (Self, Response) {
        let (body, mut events) = mpsc::channel(1);
        let events = poll_fn(move |context| events.poll_recv(context)).map(Ok::<Bytes, Infallible>);
        let cut = parts.extensions.get::<Cut>().cloned();
        let sink = Self { id: id.clone(), body, cut, timeout: http.write_timeout, _permit: permit };
        (sink, event_stream(Body::from_stream(events)))
    }

    async fn write(&self, text: impl Into<Bytes>) -> Result<(), Gone> {
        let Ok(written) = timeout(self.timeout, self.body.send(text.into())).await else {
            telemetry::metrics().slow_consumer();
            if let Some(cut) = &self.cut {
                cut.now();
            }
            return Err(Gone);
        };
        written.map_err(|_| Gone)
    }
}

pub struct Connection {
    http: Http,
    viewer: Option<Viewer>,
    operations: Operations,
    /// Operations that are sent to the stream; closed where there are none but the first.
    arrivals: mpsc::Receiver<Events>,
    write: Write,
    _user_permit: Option<UserPermit>,
}

impl Connection {
    /// A stream that ends with its one operation.
    pub fn distinct(
        http: &Http,
        viewer: Option<Viewer>,
        user_permit: Option<UserPermit>,
        operations: Operations,
    ) -> Self {
        let (_, arrivals) = mpsc::channel(1);
        Self {
            http: http.clone(),
            viewer,
            operations,
            arrivals,
            write: event::plain,
            _user_permit: user_permit,
        }
    }

    /// A stream for whatever operations are sent to it.
    pub fn single(
        http: &Http,
        viewer: Option<Viewer>,
        user_permit: Option<UserPermit>,
        running: Running,
        arrivals: mpsc::Receiver<Events>,
    ) -> Self {
        let operations = Operations::new(http, running);
        let write = event::addressed;
        Self { http: http.clone(), viewer, operations, arrivals, write, _user_permit: user_permit }
    }

    /// Serves until all operations end, the session ends, the client disconnects or the process stops. In the last case
    /// what was accepted comes to its end, and the answer ends without a `complete` for subscriptions,
    /// which would tell clients not to come back.
    pub async fn run(mut self, sink: EventSink) {
        // A client that has gone needs no farewell.
        let _: Result<(), Gone> = self.serve(&sink).await;
    }

    async fn serve(&mut self, sink: &EventSink) -> Result<(), Gone> {
        let mut ended = pin!(auth::ended(self.http.app.clone(), self.viewer.clone()));
        let mut silence = interval_at(Instant::now() + SILENCE, SILENCE);
        silence.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Some browsers see no stream before its first bytes.
        sink.write(KEEP_ALIVE).await?;
        while !(self.arrivals.is_closed() && self.operations.running().is_empty()) {
            tokio::select! {
                error = &mut ended => return self.refuse_all(sink, error).await,
                () = sink.body.closed() => return Err(Gone),
                Some(events) = self.arrivals.recv(), if self.operations.has_room() => {
                    self.operations.push(events);
                }
                text = self.operations.next() => match text {
                    Some(text) => sink.write(text).await?,
                    None if self.arrivals.is_closed() => return Ok(()),
                    None => self.take_remaining().await,
                },
                _ = silence.tick() => sink.write(KEEP_ALIVE).await?,
            }
        }
        Ok(())
    }

    /// Lets no more operations arrive, and takes those that were accepted meanwhile.
    async fn take_remaining(&mut self) {
        self.arrivals.close();
        while let Some(events) = self.arrivals.recv().await {
            self.operations.push(events);
        }
    }

    /// Tells each operation why it ends.
    async fn refuse_all(&mut self, sink: &EventSink, error: Error) -> Result<(), Gone> {
        for text in self.operations.final_messages() {
            sink.write(text).await?;
        }
        let errors = Refusal::from(error).finish(&sink.id);
        for id in self.operations.running().ids() {
            sink.write((self.write)(&id, Outcome::Refused(&errors))).await?;
        }
        Ok(())
    }
}

/// A response whose body is an event stream.
pub fn event_stream(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    // Proxies that gather answers would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
