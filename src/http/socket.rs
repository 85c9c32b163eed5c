//! `/graphql/ws`: graphql-transport-ws, written here because a wrapper can't have its close codes and
//! bounds. One task holds a socket, its operations and its timers.

mod close;
mod credentials;
mod protocol;

use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, RETRY_AFTER};
use axum::response::{IntoResponse as _, Response};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use self::close::Close;
use self::protocol::{FromClient, PROTOCOL, ToClient, write};
use super::operations::{Operation, Operations, RegisterError, Running};
use super::permit::UserPermit;
use super::state::Http;
use super::{auth, graphql, reply};
use crate::domain::viewer::Viewer;
use crate::graphql::context::RequestMeta;
use crate::graphql::error::Refusal;
use crate::model::Error;
use crate::telemetry;

/// How long a client may take to send `connection_init`.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a client is asked for a sign of life, and how long it may take to give one.
const PING: Duration = Duration::from_secs(20);
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
    if parts.uri.query().is_some_and(credentials::is_in_query) {
        let message = "Send the access token in connection_init, not in the address.\n";
        return (StatusCode::BAD_REQUEST, message).into_response();
    }
    let asked = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(asked) => asked.protocols([PROTOCOL]),
        Err(rejection) => return rejection.into_response(),
    };
    if asked.selected_protocol().is_none() {
        return (StatusCode::BAD_REQUEST, "The subprotocol must be graphql-transport-ws.\n").into_response();
    }
    let Some(seat) = http.connection_permit() else {
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], "Too many sockets are open.\n")
            .into_response();
    };
    let meta = graphql::meta(&parts, &id);
    let header = parts.headers.get(AUTHORIZATION);
    let authorization = header.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let mut response = asked
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(async move |socket| {
            let _permit = seat;
            Connection { http, meta, socket, viewer: None }.run(authorization).await;
        });
    reply::mark(response.headers_mut(), &id);
    response
}

struct Connection {
    http: Http,
    meta: RequestMeta,
    socket: WebSocket,
    viewer: Option<Viewer>,
}

/// `None` where the client has gone.
type End = Option<Close>;

impl Connection {
    async fn run(&mut self, authorization: Option<String>) {
        let Err(end) = self.live(authorization).await;
        telemetry::metrics().socket_closed(end.as_ref().map(Close::code));
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

    async fn live(&mut self, authorization: Option<String>) -> Result<Infallible, End> {
        let stopping = self.http.app.stopping().clone();
        // Boxed, so that an open socket does not hold on to the room that its start took.
        let init = timeout(INIT_TIMEOUT, Box::pin(self.init(authorization)));
        let init = stopping.run_until_cancelled(init).await.ok_or(Close::going_away())?;
        let _user_permit = init.map_err(|_| Close::no_init())??;
        self.serve().await
    }

    /// Serves until the session ends, the client goes or breaks the rules, or the process stops: then what
    /// runs comes to its end before.
    async fn serve(&mut self) -> Result<Infallible, End> {
        let app = self.http.app.clone();
        let mut ended = pin!(auth::ended(app.clone(), self.viewer.clone()));
        let mut operations = Operations::new(&self.http, Running::default());
        let mut heartbeat = Heartbeat::new();
        loop {
            tokio::select! {
                error = &mut ended => {
                    for text in operations.final_messages() {
                        self.send(Message::Text(text.into())).await?;
                    }
                    return Err(Some(Close::because(&error)));
                }
                received = self.socket.recv() => {
                    heartbeat.heard = true;
                    let Some(text) = text(received)? else { continue };
                    match FromClient::parse(&text)? {
                        // Boxed, both, for they are rare, and a waiting socket should hold no room for them.
                        FromClient::Ping { authorization: Some(fresh), .. } => {
                            Box::pin(self.renew(&fresh)).await?;
                            ended.set(auth::ended(app.clone(), self.viewer.clone()));
                        }
                        message => Box::pin(self.handle_message(message, &mut operations)).await?,
                    }
                }
                text = operations.next() => {
                    let text = text.ok_or(Close::going_away())?;
                    self.send(Message::Text(text.into())).await?;
                }
                _ = heartbeat.timer.tick() => {
                    heartbeat.check()?;
                    self.send(Message::Ping(axum::body::Bytes::new())).await?;
                }
            }
        }
    }

    /// Waits for `connection_init` and answers it. A token in it goes before one in the headers.
    async fn init(&mut self, header: Option<String>) -> Result<Option<UserPermit>, End> {
        loop {
            let Some(text) = text(self.socket.recv().await)? else { continue };
            match FromClient::parse(&text)? {
                FromClient::Init { authorization } => {
                    let authorization = authorization.as_deref().or(header.as_deref());
                    if let Some(authorization) = authorization {
                        self.viewer = Some(authenticate(&self.http, authorization).await?);
                    }
                    let user_permit = self.http.connections.acquire_for(self.viewer.as_ref());
                    let user_permit = user_permit.map_err(|error| Close::because(&error))?;
                    self.send(ToClient::ConnectionAck.message()).await?;
                    return Ok(user_permit);
                }
                FromClient::Ping { payload, .. } => self.send(ToClient::Pong { payload }.message()).await?,
                FromClient::Subscribe { .. } => return Err(Some(Close::unauthorized())),
                FromClient::Pong | FromClient::Complete { .. } => {}
            }
        }
    }

    /// Goes on under a fresh token of the same session; what runs does not notice.
    async fn renew(&mut self, authorization: &str) -> Result<(), End> {
        let fresh = authenticate(&self.http, authorization).await?;
        if self.viewer.as_ref().is_none_or(|viewer| viewer.session != fresh.session) {
            return Err(Some(Close::because(&Error::Forbidden("The token is one of another session."))));
        }
        self.viewer = Some(fresh);
        self.send(ToClient::Pong { payload: None }.message()).await
    }

    async fn handle_message(
        &mut self,
        message: FromClient<'_>,
        operations: &mut Operations,
    ) -> Result<(), End> {
        match message {
            FromClient::Init { .. } => Err(Some(Close::second_init())),
            FromClient::Ping { payload, .. } => self.send(ToClient::Pong { payload }.message()).await,
            FromClient::Pong => Ok(()),
            FromClient::Complete { id } => {
                operations.running().stop(&id);
                Ok(())
            }
            // The client asks the next process, when it has heard that this one stops.
            FromClient::Subscribe { .. } if self.http.app.stopping().is_cancelled() => Ok(()),
            FromClient::Subscribe { id, request } => {
                let operation =
                    Operation::new(&self.http, self.viewer.clone(), self.meta.clone(), request, write);
                match operations.running().register(&id) {
                    Ok(place) => operations.push(place.run(operation)),
                    Err(RegisterError::IdInUse) => return Err(Some(Close::duplicate(&id))),
                    Err(RegisterError::TooMany) => {
                        let refusal = Refusal::from(Error::RateLimited { retry_after_ms: 1000 });
                        self.send(Message::Text(operation.refused(&id, refusal).into())).await?;
                    }
                }
                Ok(())
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(self.http.write_timeout, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(None),
            Err(_) => {
                telemetry::metrics().slow_consumer();
                Err(Some(Close::because(&Error::SlowConsumer)))
            }
        }
    }
}

async fn authenticate(http: &Http, authorization: &str) -> Result<Viewer, Close> {
    let viewer = async { http.app.authenticate(auth::lenient_token(authorization)?).await };
    viewer.await.map_err(|error| Close::because(&error))
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
        if std::mem::take(&mut self.heard) { Ok(()) } else { Err(Some(Close::silent())) }
    }
}
