//! The messages of graphql-transport-ws.

use std::borrow::Cow;

use async_graphql::{Response, ServerError};
use axum::extract::ws::{CloseFrame, Message};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::credentials;
use crate::graphql::request::Incoming;
use crate::http::operations::{MAX_ID, Told};
use crate::model::Error;

/// The name in `Sec-WebSocket-Protocol`.
pub const PROTOCOL: &str = "graphql-transport-ws";

/// A close reason and its code must fit into a control frame.
const MAX_REASON: usize = 123;

/// What a client says.
pub enum FromClient<'a> {
    Init {
        authorization: Option<String>,
    },
    /// With `authorization`, a fresh access token; the payload is then none to be sent back.
    Ping {
        payload: Option<&'a RawValue>,
        authorization: Option<String>,
    },
    Pong,
    Subscribe {
        id: Cow<'a, str>,
        request: Incoming<'a>,
    },
    Complete {
        id: Cow<'a, str>,
    },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default, borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    payload: Option<&'a RawValue>,
}

impl<'a> FromClient<'a> {
    /// Reads a message; one that is not of the protocol ends the socket.
    pub fn parse(text: &'a str) -> Result<Self, Close> {
        // Some clients write a byte order mark first.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let Envelope { kind, id, payload } = serde_json::from_str(text)
            .map_err(|_| Close::invalid("The message is not one of the protocol"))?;
        match &*kind {
            "connection_init" => Ok(Self::Init { authorization: authorization(payload)? }),
            "ping" => {
                let authorization = authorization(payload)?;
                let payload = payload.filter(|_| authorization.is_none());
                Ok(Self::Ping { payload, authorization })
            }
            "pong" => Ok(Self::Pong),
            "subscribe" => {
                let request = payload
                    .and_then(|payload| serde_json::from_str(payload.get()).ok())
                    .ok_or_else(|| Close::invalid("The payload of subscribe is not a GraphQL request"))?;
                Ok(Self::Subscribe { id: required(id)?, request })
            }
            "complete" => Ok(Self::Complete { id: required(id)? }),
            _ => Err(Close::invalid("The message has an unknown type")),
        }
    }
}

/// What a payload says of who sends it.
fn authorization(payload: Option<&RawValue>) -> Result<Option<String>, Close> {
    let Some(payload) = payload else { return Ok(None) };
    let payload: Option<Map<String, Value>> =
        serde_json::from_str(payload.get()).map_err(|_| Close::invalid("The payload is not an object"))?;
    let payload = payload.unwrap_or_default();
    Ok(credentials::token(&payload)?.map(str::to_owned))
}

fn required(id: Option<Cow<'_, str>>) -> Result<Cow<'_, str>, Close> {
    id.filter(|id| !id.is_empty() && id.len() <= MAX_ID)
        .ok_or_else(|| Close::invalid("The message has no id, or too long a one"))
}

/// What the server says.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToClient<'a> {
    ConnectionAck,
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<&'a RawValue>,
    },
    Next {
        id: &'a str,
        payload: &'a Response,
    },
    Error {
        id: &'a str,
        payload: &'a [ServerError],
    },
    Complete {
        id: &'a str,
    },
}

impl ToClient<'_> {
    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub fn message(&self) -> Message {
        Message::Text(self.text().into())
    }
}

/// What an operation tells, as a message.
pub fn write(id: &str, told: Told<'_>) -> String {
    match told {
        Told::Next(payload) => ToClient::Next { id, payload },
        Told::Refused(payload) => ToClient::Error { id, payload },
        Told::Complete => ToClient::Complete { id },
    }
    .text()
}

/// Why a socket ends. Clients try again after 1001, 1013, 4403 and 4408, and give up after the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    code: u16,
    reason: Cow<'static, str>,
}

impl Close {
    const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason) }
    }

    /// The process stops; another one takes over.
    pub const fn going_away() -> Self {
        Self::new(1001, "The server is restarting")
    }

    pub const fn too_big() -> Self {
        Self::new(1009, "The message is too long")
    }

    /// The client does not answer pings.
    pub const fn silent() -> Self {
        Self::new(1013, "The client is silent")
    }

    pub const fn invalid(reason: &'static str) -> Self {
        Self::new(4400, reason)
    }

    pub const fn unauthorized() -> Self {
        Self::new(4401, "Unauthorized")
    }

    /// Because of an error, which its code tells. What may pass by itself is to be tried again; else it is
    /// the token, which is not good, or no longer.
    pub fn because(error: &Error) -> Self {
        let passes = error.is_transient() || matches!(error, Error::SlowConsumer);
        Self { code: if passes { 1013 } else { 4403 }, reason: error.code().as_str().into() }
    }

    pub const fn no_init() -> Self {
        Self::new(4408, "Connection initialisation timeout")
    }

    pub fn duplicate(id: &str) -> Self {
        let reason = format!("Subscriber for {id} already exists");
        let end = reason.floor_char_boundary(MAX_REASON);
        Self { code: 4409, reason: reason[..end].to_owned().into() }
    }

    pub const fn second_init() -> Self {
        Self::new(4429, "Too many initialisation requests")
    }

    pub const fn code(&self) -> u16 {
        self.code
    }

    pub fn message(self) -> Message {
        Message::Close(Some(CloseFrame { code: self.code, reason: self.reason.into_owned().into() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read() {
        let init = FromClient::parse(
            "\u{feff}{\"type\":\"connection_init\",\"payload\":{\"Authorization\":\"Bearer x\"}}",
        );
        assert!(matches!(init, Ok(FromClient::Init { authorization: Some(text) }) if text == "Bearer x"));
        for empty in [r#"{"type":"connection_init"}"#, r#"{"type":"connection_init","payload":null}"#] {
            assert!(matches!(FromClient::parse(empty), Ok(FromClient::Init { authorization: None })));
        }
        let Ok(FromClient::Ping { payload: Some(payload), authorization: None }) =
            FromClient::parse(r#"{"type":"ping","payload":{"a":1}}"#)
        else {
            panic!("not read")
        };
        assert_eq!(payload.get(), r#"{"a":1}"#);
        let fresh = FromClient::parse(r#"{"type":"ping","payload":{"authorization":"Bearer x","a":1}}"#);
        let Ok(FromClient::Ping { payload: None, authorization: Some(text) }) = fresh else {
            panic!("a token must not come back")
        };
        assert_eq!(text, "Bearer x");
        let escaped =
            r#"{"id":"\u0061","type":"subscribe","payload":{"query":"{\n a }","variables":{"a":[1]}}}"#;
        let Ok(FromClient::Subscribe { id, request }) = FromClient::parse(escaped) else {
            panic!("not read")
        };
        assert_eq!((&*id, &*request.query), ("a", "{\n a }"));
    }

    #[test]
    fn other_messages_end_the_socket() {
        for bad in [
            "",
            "[]",
            r#"{"type":"start"}"#,
            r#"{"type":"subscribe","id":"1"}"#,
            r#"{"type":"subscribe","id":"","payload":{"query":""}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"variables":{}}}"#,
            r#"{"type":"complete"}"#,
            r#"{"type":"connection_init","payload":"x"}"#,
            r#"{"type":"connection_init","payload":{"authorization":1}}"#,
            r#"{"type":"connection_init","payload":{"auth":{"token":"x"}}}"#,
            r#"{"type":"ping","payload":{"authorization":1}}"#,
        ] {
            assert_eq!(FromClient::parse(bad).err().map(|close| close.code), Some(4400), "{bad}");
        }
    }

    #[test]
    fn what_may_pass_is_to_be_tried_again() {
        for (error, code, reason) in [
            (Error::TokenExpired, 4403, "TOKEN_EXPIRED"),
            (Error::SlowConsumer, 1013, "SLOW_CONSUMER"),
            (Error::RateLimited { retry_after_ms: 1 }, 1013, "RATE_LIMITED"),
            (Error::ShardUnavailable, 1013, "SHARD_UNAVAILABLE"),
        ] {
            assert_eq!(Close::because(&error), Close::new(code, reason));
        }
    }

    #[test]
    fn close_reasons_fit_their_frame() {
        let close = Close::duplicate(&"ß".repeat(64));
        assert!(close.reason.len() <= MAX_REASON);
    }
}
