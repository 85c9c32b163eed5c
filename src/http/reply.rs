//! Answers of the GraphQL endpoint.

use async_graphql::ServerError;
use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;

use super::negotiate::Media;
use crate::graphql::error::Refusal;
use crate::model::{Code, Error};
use crate::telemetry::{self, RequestId};

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The methods that `/graphql` has.
pub const METHODS: &str = "GET, POST";

/// How a request ended.
pub enum Answer {
    /// It was run: with `data`, and the code that stands for the whole, if it failed as a whole.
    Done { body: Vec<u8>, failed: Option<Code> },
    /// It was a GraphQL request and was refused as one.
    Refused(Refusal),
    /// It was refused as an HTTP request.
    Rejected(StatusCode, Refusal),
}

impl<E: Into<Refusal>> From<E> for Answer {
    fn from(refusal: E) -> Self {
        Self::Refused(refusal.into())
    }
}

impl Answer {
    pub fn rejected(status: StatusCode, code: Code, message: &'static str) -> Self {
        Self::Rejected(status, Refusal::new(code, message))
    }

    pub fn too_large(limit: u64) -> Self {
        Self::Rejected(StatusCode::PAYLOAD_TOO_LARGE, Error::PayloadTooLarge { limit }.into())
    }

    /// Counts what was refused before it ran.
    pub fn counted(self) -> Self {
        telemetry::refused(self.code().unwrap_or(Code::Internal));
        self
    }

    /// The code that the request failed with.
    fn code(&self) -> Option<Code> {
        match self {
            Self::Done { failed, .. } => *failed,
            Self::Refused(refusal) | Self::Rejected(_, refusal) => Some(refusal.code()),
        }
    }

    /// Writes the response.
    pub fn respond(self, media: Media, id: &RequestId) -> Response {
        let (status, body) = match self {
            Self::Done { body, failed } => {
                (failed.map_or(StatusCode::OK, |code| as_status(code, media)), body)
            }
            Self::Refused(refusal) => (as_status(refusal.code(), media), errors(refusal, id)),
            Self::Rejected(status, refusal) => (status, errors(refusal, id)),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, media.content_type());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        mark(headers, id);
        explain(headers, status);
        response
    }
}

/// Puts the request's id on a response.
pub fn mark(headers: &mut HeaderMap, id: &RequestId) {
    if let Ok(value) = HeaderValue::from_maybe_shared(id.bytes()) {
        headers.insert(X_REQUEST_ID, value);
    }
}

/// The id that the client gave, or a new one.
pub fn request_id(headers: &HeaderMap) -> RequestId {
    headers
        .get(X_REQUEST_ID)
        .and_then(|value| RequestId::given(value.as_bytes()))
        .unwrap_or_else(RequestId::random)
}

fn explain(headers: &mut HeaderMap, status: StatusCode) {
    let (name, value) = match status {
        StatusCode::UNAUTHORIZED => (WWW_AUTHENTICATE, "Bearer"),
        StatusCode::METHOD_NOT_ALLOWED => (ALLOW, METHODS),
        StatusCode::SERVICE_UNAVAILABLE => (RETRY_AFTER, "1"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => (ACCEPT_ENCODING, "identity"),
        _ => return,
    };
    headers.insert(name, HeaderValue::from_static(value));
}

/// With `application/json`, whatever is a GraphQL request gets 200.
fn as_status(code: Code, media: Media) -> StatusCode {
    if media == Media::Json {
        return StatusCode::OK;
    }
    match code {
        Code::Unauthenticated | Code::TokenExpired | Code::TokenRevoked => StatusCode::UNAUTHORIZED,
        Code::AccountSuspended | Code::Forbidden => StatusCode::FORBIDDEN,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::ShardUnavailable | Code::StorageUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        // Not every client looks for the code in an answer that has another status.
        Code::PersistedQueryNotSupported => StatusCode::OK,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// A response without `data`.
#[derive(Serialize)]
pub struct Errors<'a> {
    pub errors: &'a [ServerError],
}

fn errors(refusal: Refusal, id: &RequestId) -> Vec<u8> {
    serde_json::to_vec(&Errors { errors: &refusal.finish(id) }).unwrap_or_default()
}
