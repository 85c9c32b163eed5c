//! `/graphql/ws`: graphql-transport-ws, written here because a wrapper can't have its close codes and
//! bounds. One task holds a socket, its operations and its timers.

mod protocol;

use std::pin::pin;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, RETRY_AFTER};
use axum::response::{IntoResponse as _, Response};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use self::protocol::{Close, FromClient, PROTOCOL, ToClient, write};
use super::operations::{NoPlace, Operation, Operations};
use super::{Http, auth, graphql, reply};
use crate::domain::Error;
use crate::domain::account::Viewer;
use crate::graphql::error::Refusal;
use crate::graphql::request::RequestMeta;

/// How long a client may take to send `connection_init`.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a client is asked for a sign of life, and how long it may take to give one.
const PING: Duration = Duration::from_secs(20);
/// How long one message may take to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a closing socket waits for the client's part.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest message of a client.
const MAX_MESSAGE: usize = 64 * 1024;
/// Twelve kilobytes a socket instead of 145.
const READ_BUFFER: usize = 2048;

/// Makes a socket of a request.
pub async fn upgrade(State(http): State<Http>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let id = reply::request_id(&parts.headers);
    if !http.cors.admits(&parts.headers) {
        return (StatusCode::FORBIDDEN, "This origin may not open sockets.\n").into_response();
    }
    let asked = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(asked) => asked.protocols([PROTOCOL]),
        Err(rejection) => return rejection.into_response(),
    };
    if asked.selected_protocol().is_none() {
        return (StatusCode::BAD_REQUEST, "The subprotocol must be graphql-transport-ws.\n").into_response();
    }
    let Some(seat) = http.seat() else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], "Too many sockets are open.\n")
            .into_response();
    };
    let meta = graphql::meta(&parts, &id);
    let authorization =
        parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut response = asked
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(async move |socket| {
            let _seat = seat;
            Connection { http, meta, socket }.run(authorization).await;
        });
    reply::mark(response.headers_mut(), &id);
    response
}

struct Connection {
    http: Http,
    meta: RequestMeta,
    socket: WebSocket,
}

/// `None` where the client has gone.
type End = Option<Close>;

impl Connection {
    async fn run(mut self, authorization: Option<String>) {
        let stopping = self.http.app.stopping().clone();
        let ended = stopping.run_until_cancelled(self.serve(authorization)).await;
        let end = match ended {
            Some(Err(end)) => end,
            None => Some(Close::going_away()),
        };
        if let Some(close) = end {
            let farewell = async {
                if self.socket.send(close.message()).await.is_ok() {
                    while let Some(Ok(_)) = self.socket.recv().await {}
                }
            };
            // Who does not answer is left without an answer.
            let _ = timeout(CLOSE_TIMEOUT, farewell).await;
        }
    }

    async fn serve(&mut self, authorization: Option<String>) -> Result<std::convert::Infallible, End> {
        // Boxed, so that an open socket does not hold on to the room that its start took.
        let init = timeout(INIT_TIMEOUT, Box::pin(self.init(authorization))).await;
        let viewer = init.map_err(|_| Close::no_init())??;
        let app = self.http.app.clone();
        let mut closed = pin!(auth::ended(&app, viewer.as_ref()));
        let mut operations = Operations::default();
        let mut heartbeat = Heartbeat::new();
        loop {
            tokio::select! {
                error = &mut closed => return Err(Some(Close::forbidden(&error))),
                received = self.socket.recv() => {
                    heartbeat.heard = true;
                    if let Some(text) = text(received)? {
                        self.obey(FromClient::parse(&text)?, viewer.as_ref(), &mut operations).await?;
                    }
                }
                event = operations.next() => self.send(Message::Text(event.text.into())).await?,
                _ = heartbeat.timer.tick() => {
                    heartbeat.check()?;
                    self.send(Message::Ping(axum::body::Bytes::new())).await?;
                }
            }
        }
    }

    /// Waits for `connection_init` and answers it. A token in it goes before one in the headers.
    async fn init(&mut self, header: Option<String>) -> Result<Option<Viewer>, End> {
        loop {
            let Some(text) = text(self.socket.recv().await)? else { continue };
            match FromClient::parse(&text)? {
                FromClient::Init { authorization } => {
                    let authorization = authorization.as_deref().or(header.as_deref());
                    let viewer = authenticate(&self.http, authorization)
                        .await
                        .map_err(|error| Close::forbidden(&error))?;
                    self.send(ToClient::ConnectionAck.message()).await?;
                    return Ok(viewer);
                }
                FromClient::Ping(payload) => self.send(ToClient::Pong { payload }.message()).await?,
                FromClient::Subscribe { .. } => return Err(Some(Close::unauthorized())),
                FromClient::Pong | FromClient::Complete { .. } => {}
            }
        }
    }

    async fn obey(
        &mut self,
        message: FromClient<'_>,
        viewer: Option<&Viewer>,
        operations: &mut Operations,
    ) -> Result<(), End> {
        match message {
            FromClient::Init { .. } => Err(Some(Close::second_init())),
            FromClient::Ping(payload) => self.send(ToClient::Pong { payload }.message()).await,
            FromClient::Pong => Ok(()),
            FromClient::Complete { id } => {
                operations.running().stop(&id);
                Ok(())
            }
            FromClient::Subscribe { id, request } => {
                let operation =
                    Operation::new(&self.http, viewer.cloned(), self.meta.clone(), request, write);
                match operations.running().place(&id) {
                    Ok(place) => operations.push(place.run(operation)),
                    Err(NoPlace::Taken) => return Err(Some(Close::duplicate(&id))),
                    Err(NoPlace::TooMany) => {
                        let refusal = Refusal::from(Error::RateLimited { retry_after_ms: 1000 });
                        self.send(Message::Text(operation.refused(&id, refusal).into())).await?;
                    }
                }
                Ok(())
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(WRITE_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(None),
            Err(_) => Err(Some(Close::try_again("The client reads too slowly"))),
        }
    }
}

async fn authenticate(http: &Http, authorization: Option<&str>) -> Result<Option<Viewer>, Error> {
    match authorization {
        Some(value) => http.app.authenticate(auth::token(value)?).await.map(Some),
        None => Ok(None),
    }
}

/// The text of a message; control frames have none.
fn text(received: Option<Result<Message, axum::Error>>) -> Result<Option<axum::extract::ws::Utf8Bytes>, End> {
    match received {
        Some(Ok(Message::Text(text))) => Ok(Some(text)),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Binary(_))) => Err(Some(Close::invalid("Messages are text"))),
        Some(Err(error)) if error.to_string().contains("too long") => Err(Some(Close::too_big())),
        Some(Ok(Message::Close(_)) | Err(_)) | None => Err(None),
    }
}

struct Heartbeat {
    timer: Interval,
    /// Whether the client said anything since the last ping.
    heard: bool,
}

impl Heartbeat {
    fn new() -> Self {
        let mut timer = interval_at(Instant::now() + PING, PING);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { timer, heard: true }
    }

    fn check(&mut self) -> Result<(), End> {
        if std::mem::take(&mut self.heard) {
            Ok(())
        } else {
            Err(Some(Close::try_again("The client is silent")))
        }
    }
}
