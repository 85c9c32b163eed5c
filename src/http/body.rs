//! From an HTTP request to a GraphQL one.

use std::borrow::Cow;

use async_graphql::{UploadValue, Variables};
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use url::form_urlencoded;

use super::reply::Answer;
use crate::graphql::request::Incoming;
use crate::model::Code;

/// A request with its files.
pub struct Received<'a> {
    pub incoming: Incoming<'a>,
    pub uploads: Vec<UploadValue>,
}

/// Reads the whole body, if it is not longer than the limit.
pub async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Answer> {
    if declared(headers).is_some_and(|length| length > limit as u64) {
        return Err(Answer::too_large(limit as u64));
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Answer::too_large(limit as u64)),
        Err(_) => Err(bad("The body could not be read.")),
    }
}

/// How long the body says that it is.
pub fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a JSON body.
pub fn parse(body: &[u8]) -> Result<Incoming<'_>, Answer> {
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(bad("Batches are not supported: send one operation in a request."));
    }
    serde_json::from_slice(body).map_err(|error| {
        let what = if error.is_data() { "is not a GraphQL request" } else { "is not JSON" };
        let refusal = format!("The body {what}: {error}.");
        Answer::Rejected(
            StatusCode::BAD_REQUEST,
            crate::graphql::error::Refusal::new(Code::BadUserInput, refusal),
        )
    })
}

/// Reads what a GET has in its query string.
pub fn of_query(query: &str) -> Result<Incoming<'_>, Answer> {
    let (mut text, mut name, mut variables) = (None, None, Variables::default());
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*key {
            "variables" | "extensions" if value.is_empty() => {}
            "query" => text = Some(value),
            "operationName" => name = Some(value),
            "variables" => {
                variables =
                    serde_json::from_str(&value).map_err(|_| bad("variables is not a JSON object."))?;
            }
            "extensions" => {
                serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&value)
                    .map_err(|_| bad("extensions is not a JSON object."))?;
            }
            _ => {}
        }
    }
    let text: Cow<'_, str> = text.ok_or_else(|| bad("The parameter query is missing."))?;
    Ok(Incoming::new(text, name, variables))
}

pub fn bad(message: &'static str) -> Answer {
    Answer::rejected(StatusCode::BAD_REQUEST, Code::BadUserInput, message)
}
