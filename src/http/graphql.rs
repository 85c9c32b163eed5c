//! `/graphql`: queries and mutations by POST, queries by GET.
//!
//! Follows the GraphQL-over-HTTP draft. A token that is not good is answered with its code, and with
//! status 401 where the client accepts `application/graphql-response+json`.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use async_graphql::ServerError;
use async_graphql::parser::types::OperationType;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

use super::auth;
use super::body::{self, Received};
use super::negotiate::{Content, Media};
use super::reply::{self, Answer};
use super::state::Http;
use super::upload::{self, FormLimits};
use crate::domain::viewer::Viewer;
use crate::graphql::context::RequestMeta;
use crate::graphql::document::Operation;
use crate::graphql::engine::{Engine, is_safe};
use crate::graphql::error;
use crate::model::trace::{self, TARGET, TraceParent};
use crate::model::{Code, Error};
use crate::telemetry::{self, RequestId, within_request};

/// How long a file may take to come in; a phone's network is slow.
const UPLOAD_TIMEOUT: Duration = Duration::from_mins(2);
/// The longest user agent that is kept.
const MAX_USER_AGENT: usize = 256;
const TRACEPARENT: &str = "traceparent";

/// Answers any method on `/graphql`.
pub async fn handle(State(http): State<Http>, request: Request) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    if parts.method == Method::OPTIONS {
        let mut response = StatusCode::NO_CONTENT.into_response();
        http.cors.preflight(&parts.headers, reply::METHODS, response.headers_mut());
        return response;
    }
    let id = reply::request_id(&parts.headers);
    let span = request_span(&parts, "/graphql", &id);
    let accepted = Media::accepted(&parts.headers);
    let answer = match accepted {
        Some(_) => {
            within_request(id.clone(), answer(&http, &parts, body, &id)).instrument(span.clone()).await
        }
        None => Err(not_acceptable()),
    };
    let answer = answer.unwrap_or_else(Answer::counted);
    let mut response = answer.respond(accepted.unwrap_or(Media::Json), &id);
    span.record("http.response.status_code", i64::from(response.status().as_u16()));
    http.cors.mark(&parts.headers, response.headers_mut());
    telemetry::metrics().request("/graphql", response.status().as_u16(), started.elapsed());
    response
}

/// The span of a request, below the one that the client names. Its fields are those of OpenTelemetry's conventions.
pub fn request_span(parts: &Parts, route: &'static str, id: &RequestId) -> Span {
    let parent = trace_parent(&parts.headers);
    trace::request_span(parent.as_ref(), || {
        info_span!(
            target: TARGET,
            "request",
            otel.name = format!("{} {route}", parts.method),
            otel.kind = "server",
            http.request.method = parts.method.as_str(),
            http.route = route,
            http.response.status_code = Empty,
            graphql.error.code = Empty,
            otel.status_code = Empty,
            request_id = id.as_str(),
        )
    })
}

fn trace_parent(headers: &HeaderMap) -> Option<TraceParent> {
    TraceParent::given(headers.get(TRACEPARENT)?.to_str().ok()?)
}

fn not_acceptable() -> Answer {
    let message = "Accept application/graphql-response+json or application/json.";
    Answer::rejected(StatusCode::NOT_ACCEPTABLE, Code::BadUserInput, message)
}

/// `Err` is what was refused before it ran.
async fn answer(http: &Http, parts: &Parts, body: Body, id: &RequestId) -> Result<Answer, Answer> {
    let _running = request_permit(http)?;
    if parts.method == Method::GET {
        let incoming = body::of_query(parts.uri.query().unwrap_or_default())?;
        return run(http, parts, Received { incoming, uploads: Vec::new() }, id).await;
    }
    if parts.method != Method::POST {
        let message = "Use POST, or GET for queries.";
        return Err(Answer::rejected(StatusCode::METHOD_NOT_ALLOWED, Code::BadUserInput, message));
    }
    body::require_plain(&parts.headers)?;
    match Content::of(&parts.headers) {
        Some(Content::Json) => {
            let bytes = read_json(http, &parts.headers, body).await?;
            run(http, parts, Received { incoming: body::parse(&bytes)?, uploads: Vec::new() }, id).await
        }
        Some(Content::Multipart(boundary)) if upload::is_preflighted(&parts.headers) => {
            // A stranger's file is not even read.
            viewer(http, &parts.headers).await?.ok_or(Error::Unauthenticated)?;
            let json = http.app.config().http.max_body_bytes as u64;
            let limits = FormLimits { json, file: http.app.config().media.max_image_bytes };
            let read = timeout(UPLOAD_TIMEOUT, upload::read(&parts.headers, body, boundary, limits)).await;
            let form = read.map_err(|_| slow())??;
            let operations = form.operations.clone();
            let mut incoming = body::parse(&operations)?;
            let uploads = form.attach(&mut incoming)?;
            run(http, parts, Received { incoming, uploads }, id).await
        }
        content => Err(unsupported(content.is_some())),
    }
}

/// A permit to run; a request without one is refused at once.
pub fn request_permit(http: &Http) -> Result<SemaphorePermit<'_>, Answer> {
    http.requests.try_acquire().map_err(|_| overloaded())
}

/// The answer to a request that is over the limit.
pub fn overloaded() -> Answer {
    telemetry::metrics().overload();
    let refusal = Error::RateLimited { retry_after_ms: 1000 }.into();
    Answer::Rejected(StatusCode::SERVICE_UNAVAILABLE, refusal)
}

/// Reads a body that must not be longer or slower than a JSON one may be.
pub async fn read_json(http: &Http, headers: &HeaderMap, body: Body) -> Result<Bytes, Answer> {
    let limit = http.app.config().http.max_body_bytes;
    timeout(http.timeout, body::read(headers, body, limit)).await.map_err(|_| slow())?
}

fn slow() -> Answer {
    Answer::Rejected(StatusCode::REQUEST_TIMEOUT, Error::Timeout.into())
}

fn unsupported(multipart: bool) -> Answer {
    let message = if multipart {
        "A multipart request must have the header GraphQL-Require-Preflight."
    } else {
        "Send application/json in UTF-8, or multipart/form-data with a file."
    };
    Answer::rejected(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::BadUserInput, message)
}

async fn run(http: &Http, parts: &Parts, received: Received<'_>, id: &RequestId) -> Result<Answer, Answer> {
    let started = Instant::now();
    let viewer = viewer(http, &parts.headers).await?;
    let Received { mut incoming, uploads } = received;
    let operation = incoming.admit(http.app.engine(), uploads.len()).await?;
    check_kind(&operation, &parts.method)?;
    let request = Engine::<crate::graphql::Query>::request(&operation, incoming.variables, uploads)
        .data(http.app.request_data(viewer, meta(parts, id)));
    let mut response = execute(http, &operation, request).await;
    let code = error::finish(&mut response.errors, id);
    http.operations.ended(operation.name(), operation.kind, code, started.elapsed());
    record_outcome(code);
    // Only these two replace the whole answer; other errors stand beside data.
    let failed = code.filter(|code| {
        matches!(code, Code::Timeout | Code::Internal)
            && response.errors.iter().all(|error| error.path.is_empty())
    });
    let mut body = Vec::with_capacity(512);
    serde_json::to_writer(&mut body, &response).map_err(Error::internal)?;
    Ok(Answer::Done { body, failed })
}

/// Runs a query or mutation, for as long as a request may take.
pub async fn execute(
    http: &Http,
    operation: &Operation,
    request: async_graphql::Request,
) -> async_graphql::Response {
    let span = operation_span(operation);
    let run = AssertUnwindSafe(http.app.engine().execute(request)).catch_unwind();
    match timeout(http.timeout, run.instrument(span)).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => failed(panicked(&*panic)),
        Err(_) => failed(Error::Timeout),
    }
}

/// Notes in the span of a request how its operation has ended. Errors are those that are not the client's.
pub fn record_outcome(code: Option<Code>) {
    let Some(code) = code else { return };
    let span = Span::current();
    span.record("graphql.error.code", code.as_str());
    if matches!(code, Code::Internal | Code::Timeout | Code::ShardUnavailable | Code::StorageUnavailable) {
        span.record("otel.status_code", "ERROR");
    }
}

/// The span of an operation while it runs.
pub fn operation_span(operation: &Operation) -> Span {
    info_span!(
        target: TARGET,
        "operation",
        otel.name = %operation.kind,
        graphql.operation.r#type = %operation.kind,
        graphql.operation.name = operation.name(),
    )
}

fn check_kind(operation: &Operation, method: &Method) -> Result<(), Answer> {
    if operation.kind == OperationType::Subscription {
        let message = "Subscriptions are served at /graphql/ws and /graphql/stream.";
        return Err(Answer::Refused(error::Refusal::new(Code::BadUserInput, message)));
    }
    check_method(operation, method)
}

/// Whatever is asked for with GET must change nothing.
pub fn check_method(operation: &Operation, method: &Method) -> Result<(), Answer> {
    if method == Method::GET && !is_safe(operation) {
        let message = "A mutation must be sent with POST.";
        return Err(Answer::rejected(StatusCode::METHOD_NOT_ALLOWED, Code::BadUserInput, message));
    }
    Ok(())
}

/// Who asks, by the token in the headers.
pub async fn viewer(http: &Http, headers: &HeaderMap) -> Result<Option<Viewer>, Error> {
    match auth::bearer(headers)? {
        Some(token) => http.app.authenticate(token).await.map(Some),
        None => Ok(None),
    }
}

/// Where the request comes from.
pub fn meta(parts: &Parts, id: &RequestId) -> RequestMeta {
    RequestMeta {
        ip: peer(parts),
        user_agent: user_agent(&parts.headers),
        request_id: id.clone(),
        trace_parent: trace_parent(&parts.headers),
    }
}

fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip())
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(USER_AGENT)?.to_str().ok()?;
    Some(text[..text.floor_char_boundary(MAX_USER_AGENT)].to_owned())
}

/// A response that has nothing but this error.
pub fn failed(error: Error) -> async_graphql::Response {
    let mut shown = ServerError::new(error.to_string(), None);
    shown.source = Some(std::sync::Arc::new(error));
    async_graphql::Response::from_errors(vec![shown])
}

/// The error of a resolver that panicked.
pub fn panicked(panic: &(dyn std::any::Any + Send)) -> Error {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("something that is no text");
    Error::internal(anyhow::anyhow!("a resolver panicked: {message}"))
}
