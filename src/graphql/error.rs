//! Errors as clients see them: a stable code, a message that gives nothing away, the request's id.
//!
//! A function over the finished response and not an extension: any extension makes every field slower.

use std::sync::Arc;

use async_graphql::{Context, ErrorExtensionValues, Pos, ServerError, Value};

use crate::model::{Code, Error};
use crate::telemetry::{self, RequestId};

/// No message is longer than so many bytes: some quote what the client sent.
const MAX_MESSAGE: usize = 400;
/// A broken document can have thousands of faults; the first ones tell enough.
const MAX_VALIDATION_ERRORS: usize = 20;

/// Why an operation is not executed at all: a response without `data`.
#[derive(Debug, Clone)]
pub struct Refusal {
    code: Code,
    errors: Vec<ServerError>,
}

impl Refusal {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self::from_error(code, ServerError::new(message, None))
    }

    /// One that points at a place in the document.
    pub fn at(code: Code, message: impl Into<String>, pos: Pos) -> Self {
        Self::from_error(code, ServerError::new(message, Some(pos)))
    }

    pub fn from_error(code: Code, mut error: ServerError) -> Self {
        error.source = Some(Arc::new(code));
        Self { code, errors: vec![error] }
    }

    /// What the validators found.
    pub fn validation(mut errors: Vec<ServerError>) -> Self {
        errors.truncate(MAX_VALIDATION_ERRORS);
        for error in &mut errors {
            error.source = Some(Arc::new(Code::GraphqlValidationFailed));
        }
        Self { code: Code::GraphqlValidationFailed, errors }
    }

    pub const fn code(&self) -> Code {
        self.code
    }

    /// The errors, ready to be sent.
    pub fn finish(mut self, request: &RequestId) -> Vec<ServerError> {
        finish(&mut self.errors, request);
        self.errors
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let mut shown = ServerError::new(error.to_string(), None);
        let code = error.code();
        shown.source = Some(Arc::new(error));
        Self { code, errors: vec![shown] }
    }
}

/// Tells an error of the field beside its answer, which lacks something.
pub fn add_error(ctx: &Context<'_>, error: Option<Error>) {
    let Some(error) = error else { return };
    let error = async_graphql::Error::from(error).into_server_error(ctx.item.pos);
    ctx.add_error(ctx.set_error_path(error));
}

/// Gives each error its code, masks what is unknown, and logs what is ours. Returns the first code.
pub fn finish(errors: &mut [ServerError], request: &RequestId) -> Option<Code> {
    let (mut first, mut logged) = (None, Vec::new());
    for error in errors {
        let code = settle(error, request, &mut logged);
        telemetry::metrics().error(code);
        first.get_or_insert(code);
    }
    first
}

fn settle(error: &mut ServerError, request: &RequestId, logged: &mut Vec<Code>) -> Code {
    let known = error.source::<Error>().or_else(|| error.source::<Arc<Error>>().map(AsRef::as_ref)).cloned();
    let mut extensions = ErrorExtensionValues::default();
    let code = if let Some(known) = &known {
        if let Some(field) = known.field() {
            extensions.set("field", field);
        }
        if let Error::RateLimited { retry_after_ms } = known {
            extensions.set("retryAfterMs", *retry_after_ms);
        }
        known.code()
    } else if let Some(code) = error.source::<Code>() {
        *code
    } else if is_of_an_argument(&error.message) {
        Code::BadUserInput
    } else {
        Code::Internal
    };
    if !logged.contains(&code) && log(code, known.as_ref(), error, request) {
        logged.push(code);
    }
    if known.is_none() && code == Code::Internal {
        error.message = Error::internal(anyhow::Error::msg("masked")).to_string();
    }
    shorten(&mut error.message);
    extensions.set("code", code.as_str());
    extensions.set("requestId", Value::String(request.to_string()));
    error.extensions = Some(extensions);
    code
}

/// Whether async-graphql says that an argument does not fit its type or validator. It gives such an
/// error no source; one without source that reads otherwise is a fault of ours.
fn is_of_an_argument(message: &str) -> bool {
    ["Failed to parse \"", "Expected input type \"", "Invalid value for argument "]
        .iter()
        .any(|start| message.starts_with(start))
}

/// One line for a code and response, for what operators should know. Whether it was worth one.
fn log(code: Code, known: Option<&Error>, error: &ServerError, request: &RequestId) -> bool {
    let path = Path(&error.path);
    match (code, known) {
        (Code::Internal, Some(Error::Internal(cause))) => {
            tracing::error!(request_id = %request, %path, cause = format!("{cause:#}"), "a resolver failed");
        }
        (Code::Internal, _) => {
            tracing::error!(request_id = %request, %path, cause = error.message, "an error of unknown kind");
        }
        (Code::ShardUnavailable | Code::StorageUnavailable | Code::Timeout, _) => {
            tracing::warn!(request_id = %request, %path, code = code.as_str(), "a part was not reached");
        }
        _ => return false,
    }
    true
}

struct Path<'a>(&'a [async_graphql::PathSegment]);

impl std::fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            match segment {
                async_graphql::PathSegment::Field(name) => write!(f, "{dot}{name}")?,
                async_graphql::PathSegment::Index(number) => write!(f, "{dot}{number}")?,
            }
        }
        Ok(())
    }
}

fn shorten(message: &mut String) {
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(mut error: ServerError) -> String {
        finish(std::slice::from_mut(&mut error), &RequestId::from_static("r1"));
        serde_json::to_string(&error).expect("JSON")
    }

    fn of(error: impl std::fmt::Display + Send + Sync + 'static) -> ServerError {
        async_graphql::Error::from(error).into_server_error(Pos::default())
    }

    #[test]
    fn a_rule_keeps_its_code_and_field() {
        insta::assert_snapshot!(
            settled(of(Error::invalid("input.caption", "is too long"))),
            @r#"{"message":"input.caption is too long","locations":[{"line":0,"column":0}],"extensions":{"code":"BAD_USER_INPUT","field":"input.caption","requestId":"r1"}}"#
        );
        insta::assert_snapshot!(
            settled(of(Arc::new(Error::RateLimited { retry_after_ms: 250 }))),
            @r#"{"message":"Too many requests; try again later.","locations":[{"line":0,"column":0}],"extensions":{"code":"RATE_LIMITED","requestId":"r1","retryAfterMs":250}}"#
        );
    }

    #[test]
    fn what_is_unknown_is_masked() {
        let masked = "{\"message\":\"Something went wrong on our side.\",\"locations\":[{\"line\":0,\"column\":0}],\
                      \"extensions\":{\"code\":\"INTERNAL\",\"requestId\":\"r1\"}}";
        assert_eq!(settled(of("connection to 10.0.0.1 refused")), masked);
        assert_eq!(settled(of(Error::internal(anyhow::anyhow!("relation users does not exist")))), masked);
        assert_eq!(
            settled(async_graphql::Error::new("data missing").into_server_error(Pos::default())),
            masked
        );
    }

    #[test]
    fn messages_are_short() {
        let long = format!("Failed to parse \"Int\": {}", "ß".repeat(10_000));
        let settled = settled(ServerError::new(long, None));
        assert!(settled.len() < 600 && settled.contains("BAD_USER_INPUT"), "{settled}");
    }

    #[test]
    fn a_refusal_lists_few_errors() {
        let errors = (0..1000).map(|number| ServerError::new(number.to_string(), None)).collect();
        let refusal = Refusal::validation(errors);
        assert_eq!(refusal.code(), Code::GraphqlValidationFailed);
        assert_eq!(refusal.finish(&RequestId::from_static("r1")).len(), MAX_VALIDATION_ERRORS);
    }
}
