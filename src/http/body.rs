//! From an HTTP request to a GraphQL one.

use async_graphql::{UploadValue, Variables};
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use url::form_urlencoded;

use super::negotiate;
use super::reply::Answer;
use crate::graphql::request::{Extensions, Incoming};
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

/// Refuses a body that is compressed: a small one could become a large one.
pub fn require_plain(headers: &HeaderMap) -> Result<(), Answer> {
    if !negotiate::is_encoded(headers) {
        return Ok(());
    }
    let message = "Send the body without Content-Encoding.";
    Err(Answer::rejected(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::BadUserInput, message))
}

/// How long the body says that it is.
pub fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a JSON body.
pub fn parse(body: &[u8]) -> Result<Incoming<'_>, Answer> {
    let body = without_mark(body)?;
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

/// The text behind a byte order mark. UTF-16 and UTF-32 have zeros, which JSON never has.
fn without_mark(body: &[u8]) -> Result<&[u8], Answer> {
    let is_wide = body.starts_with(b"\xfe\xff") || body.starts_with(b"\xff\xfe");
    if is_wide || body.iter().take(4).any(|&byte| byte == 0) {
        return Err(bad("The body is not UTF-8."));
    }
    Ok(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body))
}

/// Reads what a GET has in its query string.
pub fn of_query(query: &str) -> Result<Incoming<'_>, Answer> {
    let (mut text, mut name, mut variables) = (None, None, Variables::default());
    let mut extensions = Extensions::default();
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
                extensions =
                    serde_json::from_str(&value).map_err(|_| bad("extensions is not a JSON object."))?;
            }
            _ => {}
        }
    }
    Incoming::new(text, name, variables, extensions).ok_or_else(|| bad("The parameter query is missing."))
}

pub fn bad(message: &'static str) -> Answer {
    Answer::rejected(StatusCode::BAD_REQUEST, Code::BadUserInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = "{\"query\":\"{ a }\"}";

    fn is_bad(body: &[u8]) -> bool {
        matches!(parse(body), Err(Answer::Rejected(StatusCode::BAD_REQUEST, _)))
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        for body in [ASKED.to_owned(), format!("\u{feff}{ASKED}"), format!("\u{feff}\n {ASKED}\r\n")] {
            assert_eq!(parse(body.as_bytes()).ok().map(|incoming| incoming.query).as_deref(), Some("{ a }"));
        }
        assert!(is_bad(format!("\u{feff}\u{feff}{ASKED}").as_bytes()));
        assert!(is_bad(format!("\u{feff}[{ASKED}]").as_bytes()));
    }

    #[test]
    fn other_encodings_are_refused() {
        let wide = |mark: &str, bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
            format!("{mark}{ASKED}").encode_utf16().flat_map(bytes).collect()
        };
        for mark in ["", "\u{feff}"] {
            assert!(is_bad(&wide(mark, u16::to_le_bytes)) && is_bad(&wide(mark, u16::to_be_bytes)));
        }
        assert!(is_bad(b"{\"query\":\"\xe9\"}"));
    }

    #[test]
    fn a_query_may_be_known_by_its_hash_only() {
        let hash = "{\"persistedQuery\":{\"version\":1,\"sha256Hash\":\"00\"}}";
        let persisted = |incoming: Result<Incoming<'_>, Answer>| {
            let refused = incoming.ok().map(|incoming| incoming.require_document().err());
            refused.flatten().map(|refusal| refusal.code())
        };
        for body in [
            format!("{{\"extensions\":{hash}}}"),
            format!("{{\"query\":null,\"variables\":{{}},\"extensions\":{hash}}}"),
            format!("{{\"query\":\"\",\"extensions\":{hash}}}"),
        ] {
            assert_eq!(persisted(parse(body.as_bytes())), Some(Code::PersistedQueryNotSupported), "{body}");
        }
        let encode = |name: &str, text: &str| {
            form_urlencoded::Serializer::new(String::new()).append_pair(name, text).finish()
        };
        assert_eq!(persisted(of_query(&encode("extensions", hash))), Some(Code::PersistedQueryNotSupported));
        let both = format!("{{\"query\":\"{{ a }}\",\"extensions\":{hash}}}");
        assert!(parse(both.as_bytes()).is_ok_and(|incoming| incoming.require_document().is_ok()));
        for missing in ["{}", "{\"extensions\":{}}", "{\"extensions\":{\"persistedQuery\":null}}"] {
            assert!(is_bad(missing.as_bytes()), "{missing}");
        }
        assert!(of_query(&encode("extensions", "{}")).is_err() && of_query("").is_err());
    }
}
