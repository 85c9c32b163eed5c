//! `/graphql/stream`: GraphQL over server-sent events, in both modes of graphql-sse's protocol.
//!
//! With distinct connections a request is an operation and its answer the stream. With a single one a
//! stream is reserved, which gives a token, then opened, and operations are sent to it by requests of
//! their own.

mod connection;
mod event;
mod reservation;

use std::borrow::Cow;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use tokio::sync::mpsc::error::TrySendError;
use url::form_urlencoded;

use self::connection::{Connection, EventSink, event_stream};
use self::reservation::{Streams, unknown};
use super::body;
use super::graphql::{check_method, meta, overloaded, read_json, request_permit, viewer};
use super::negotiate::{Content, Media, asks_for_events, takes_events};
use super::operations::{MAX_ID, Operation, Operations, RegisterError, Running};
use super::permit::ConnectionPermit;
use super::reply::{self, Answer};
use super::state::Http;
use crate::graphql::error::Refusal;
use crate::graphql::request::Incoming;
use crate::model::{Code, Error};
use crate::telemetry::{self, RequestId, within_request};

const METHODS: &str = "GET, POST, PUT, DELETE";
/// Says which reserved stream a request is about; the parameter `token` does so too, for clients that
/// can't set headers.
const TOKEN: &str = "x-graphql-event-stream-token";

/// The routes, with what they share.
pub fn routes(http: Http) -> Router<Http> {
    Router::new()
        .route("/graphql/stream", any(handle))
        .route("/graphql/stream/", any(handle))
        .with_state(Streams::new(http))
}

/// Answers any method on `/graphql/stream`.
async fn handle(State(streams): State<Streams>, request: Request) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    if parts.method == Method::OPTIONS {
        let mut response = StatusCode::NO_CONTENT.into_response();
        streams.cors.preflight(&parts.headers, METHODS, response.headers_mut());
        return response;
    }
    let id = reply::request_id(&parts.headers);
    let answer = within_request(id.clone(), answer(&streams, &parts, body, &id)).await;
    let mut response =
        answer.unwrap_or_else(|refused| refused.counted().respond(Media::GraphqlResponse, &id));
    let headers = response.headers_mut();
    reply::mark(headers, &id);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if headers.contains_key(ALLOW) {
        headers.insert(ALLOW, HeaderValue::from_static(METHODS));
    }
    streams.cors.mark(&parts.headers, headers);
    telemetry::metrics().request("/graphql/stream", response.status().as_u16(), started.elapsed());
    response
}

/// `Err` is what was refused before anything ran.
async fn answer(streams: &Streams, parts: &Parts, body: Body, id: &RequestId) -> Result<Response, Answer> {
    let _running = request_permit(streams)?;
    match (parts.method.as_str(), token(parts)) {
        ("PUT", _) => reserve(streams, parts).await,
        ("GET", Some(token)) => open(streams, parts, &token, id).await,
        // Clients that once had a reserved stream go on to send its token.
        ("POST", _) if asks_for_events(&parts.headers) => distinct(streams, parts, body, id).await,
        ("POST", Some(token)) => accept(streams, parts, &token, body, id).await,
        ("DELETE", token) => stop(streams, parts, token.as_deref()).await,
        ("GET" | "POST", None) => distinct(streams, parts, body, id).await,
        _ => {
            let message = "Use GET, POST, PUT or DELETE.";
            Err(Answer::rejected(StatusCode::METHOD_NOT_ALLOWED, Code::BadUserInput, message))
        }
    }
}

/// Runs the operation of the request, and streams its events.
async fn distinct(http: &Http, parts: &Parts, body: Body, id: &RequestId) -> Result<Response, Answer> {
    if !takes_events(&parts.headers) {
        let message = "Accept text/event-stream.";
        return Err(Answer::rejected(StatusCode::NOT_ACCEPTABLE, Code::BadUserInput, message));
    }
    let bytes;
    let incoming = if parts.method == Method::GET {
        body::of_query(parts.uri.query().unwrap_or_default())?
    } else {
        bytes = json(http, &parts.headers, body).await?;
        body::parse(&bytes)?
    };
    let viewer = viewer(http, &parts.headers).await?;
    let mut operation = Operation::new(http, viewer.clone(), meta(parts, id), incoming, event::plain);
    match operation.admit().await {
        Ok(admitted) => check_method(&admitted, &parts.method)?,
        // A browser shows its page nothing of an answer that is no stream.
        Err(refusal) => return Ok(event_stream(operation.refused("", refusal).into())),
    }
    let user_permit = http.connections.acquire_for(viewer.as_ref())?;
    let (sink, response) = EventSink::new(http, parts, id, connection_permit(http)?);
    let running = Running::default();
    let mut operations = Operations::new(http, running.clone());
    operations.push(running.register("").map_err(register_error)?.run(operation));
    let connection = Connection::distinct(http, viewer, user_permit, operations);
    http.socket_tasks.spawn(connection.run(sink));
    Ok(response)
}

/// Reserves a stream for the caller.
async fn reserve(streams: &Streams, parts: &Parts) -> Result<Response, Answer> {
    let viewer = viewer(streams, &parts.headers).await?;
    let token = reservation::reserve(streams, viewer)?;
    let plain = (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok((StatusCode::CREATED, [plain], token).into_response())
}

/// Opens a reserved stream. Its token is enough, because a browser's `EventSource` sends no headers.
async fn open(streams: &Streams, parts: &Parts, token: &str, id: &RequestId) -> Result<Response, Answer> {
    if !takes_events(&parts.headers) {
        let message = "Accept text/event-stream.";
        return Err(Answer::rejected(StatusCode::NOT_ACCEPTABLE, Code::BadUserInput, message));
    }
    let reserved = streams.find(token).ok_or_else(unknown)?;
    if let Some(viewer) = viewer(streams, &parts.headers).await?
        && !reserved.is_of(Some(&viewer))
    {
        return Err(unknown());
    }
    let (sink, response) = EventSink::new(streams, parts, id, connection_permit(streams)?);
    reserved.open(sink).map_err(|_| conflict("The stream is open already."))?;
    Ok(response)
}

/// Runs an operation whose answer comes on a reserved stream.
async fn accept(
    streams: &Streams,
    parts: &Parts,
    token: &str,
    body: Body,
    id: &RequestId,
) -> Result<Response, Answer> {
    let viewer = viewer(streams, &parts.headers).await?;
    let reserved = reservation::of(streams, token, viewer.as_ref())?;
    if streams.app.stopping().is_cancelled() {
        return Err(overloaded());
    }
    let bytes = json(streams, &parts.headers, body).await?;
    let incoming: Incoming<'_> = body::parse(&bytes)?;
    let operation_id =
        incoming.extensions.operation_id.clone().filter(|id| !id.is_empty() && id.len() <= MAX_ID);
    let operation_id = operation_id
        .ok_or_else(|| body::bad("extensions.operationId is missing, or longer than 128 bytes."))?;
    let mut operation = Operation::new(streams, viewer, meta(parts, id), incoming, event::addressed);
    // Whatever has status 200 or 202 is expected to come on the stream.
    let refused = |refusal: Refusal| match refusal.code() {
        Code::PersistedQueryNotSupported => Answer::Rejected(StatusCode::BAD_REQUEST, refusal),
        _ => refusal.into(),
    };
    operation.admit().await.map_err(refused)?;
    let place = reserved.running().register(&operation_id).map_err(register_error)?;
    if let Err(unsent) = reserved.send(place.run(operation)) {
        reserved.running().stop(&operation_id);
        return Err(match unsent {
            TrySendError::Full(_) => register_error(RegisterError::TooMany),
            TrySendError::Closed(_) => unknown(),
        });
    }
    Ok(StatusCode::ACCEPTED.into_response())
}

/// Stops an operation on a reserved stream; one that has ended already is no error.
async fn stop(streams: &Streams, parts: &Parts, token: Option<&str>) -> Result<Response, Answer> {
    let viewer = viewer(streams, &parts.headers).await?;
    let reserved = reservation::of(streams, token.unwrap_or_default(), viewer.as_ref())?;
    let id = parameter(parts, "operationId").ok_or_else(|| body::bad("operationId is missing."))?;
    reserved.running().stop(&id);
    Ok(StatusCode::OK.into_response())
}

async fn json(http: &Http, headers: &HeaderMap, body: Body) -> Result<Bytes, Answer> {
    body::require_plain(headers)?;
    if Content::of(headers) == Some(Content::Json) {
        return read_json(http, headers, body).await;
    }
    let message = "Send application/json in UTF-8.";
    Err(Answer::rejected(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::BadUserInput, message))
}

fn connection_permit(http: &Http) -> Result<ConnectionPermit, Answer> {
    http.connection_permit().ok_or_else(|| {
        let refusal = Error::RateLimited { retry_after_ms: 1000 }.into();
        Answer::Rejected(StatusCode::SERVICE_UNAVAILABLE, refusal)
    })
}

fn conflict(message: &'static str) -> Answer {
    Answer::rejected(StatusCode::CONFLICT, Code::Conflict, message)
}

fn register_error(why: RegisterError) -> Answer {
    match why {
        RegisterError::IdInUse => conflict("An operation with this id is running."),
        RegisterError::TooMany => Answer::Refused(Error::RateLimited { retry_after_ms: 1000 }.into()),
    }
}

fn token(parts: &Parts) -> Option<Cow<'_, str>> {
    match parts.headers.get(TOKEN) {
        Some(token) => Some(Cow::Borrowed(token.to_str().unwrap_or_default())),
        None => parameter(parts, "token"),
    }
}

fn parameter<'a>(parts: &'a Parts, name: &str) -> Option<Cow<'a, str>> {
    let query = parts.uri.query()?;
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
}
