//! What stands on an event stream: `next` and `complete`, and comments that keep it open.

use serde::Serialize;

use crate::http::operations::Outcome;
use crate::http::reply::Errors;

/// A comment, which clients skip.
pub const KEEP_ALIVE: &str = ":\n\n";

/// An event of a stream that has one operation.
pub fn plain(_: &str, outcome: Outcome<'_>) -> String {
    match outcome {
        Outcome::Next(response) => next(response),
        Outcome::Refused(errors) => next(&Errors { errors }) + &complete(""),
        Outcome::Complete => complete(""),
    }
}

/// An event of a stream that has many, with the id of its operation.
pub fn addressed(id: &str, outcome: Outcome<'_>) -> String {
    #[derive(Serialize)]
    struct Next<'a, P> {
        id: &'a str,
        payload: &'a P,
    }
    #[derive(Serialize)]
    struct Complete<'a> {
        id: &'a str,
    }
    match outcome {
        Outcome::Next(payload) => next(&Next { id, payload }),
        Outcome::Refused(errors) => {
            next(&Next { id, payload: &Errors { errors } }) + &complete(&json(&Complete { id }))
        }
        Outcome::Complete => complete(&json(&Complete { id })),
    }
}

fn next(data: &impl Serialize) -> String {
    format!("event: next\ndata: {}\n\n", json(data))
}

/// The data may be empty, but without any a browser's `EventSource` does not tell of the event.
fn complete(data: &str) -> String {
    format!("event: complete\ndata: {data}\n\n")
}

/// One line: JSON escapes those inside of texts.
fn json(data: &impl Serialize) -> String {
    serde_json::to_string(data).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use async_graphql::{Response, ServerError, Value};

    use super::*;

    #[test]
    fn events_are_written() {
        let response = Response::new(Value::from("a\nb"));
        let refused = [ServerError::new("no", None)];
        assert_eq!(plain("", Outcome::Next(&response)), "event: next\ndata: {\"data\":\"a\\nb\"}\n\n");
        assert_eq!(plain("", Outcome::Complete), "event: complete\ndata: \n\n");
        assert_eq!(
            addressed("1\n", Outcome::Next(&response)),
            "event: next\ndata: {\"id\":\"1\\n\",\"payload\":{\"data\":\"a\\nb\"}}\n\n"
        );
        assert_eq!(
            addressed("1", Outcome::Refused(&refused)),
            "event: next\ndata: {\"id\":\"1\",\"payload\":{\"errors\":[{\"message\":\"no\"}]}}\n\n\
             event: complete\ndata: {\"id\":\"1\"}\n\n"
        );
    }
}
