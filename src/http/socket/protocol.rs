//! The messages of graphql-transport-ws.

use std::borrow::Cow;

use async_graphql::{Response, ServerError};
use axum::extract::ws::{CloseFrame, Message};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::Error;
use crate::graphql::request::Incoming;
use crate::http::operations::{MAX_ID, Told};

/// The name in `Sec-WebSocket-Protocol`.
pub const PROTOCOL: &str = "graphql-transport-ws";

/// A close reason and its code must fit into a control frame.
const MAX_REASON: usize = 123;

/// What a client says.
pub enum FromClient<'a> {
    Init { authorization: Option<Cow<'a, str>> },
    Ping(Option<&'a RawValue>),
    Pong,
    Subscribe { id: Cow<'a, str>, request: Incoming<'a> },
    Complete { id: Cow<'a, str> },
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

#[derive(Deserialize, Default)]
struct InitPayload<'a> {
    #[serde(default, borrow, alias = "Authorization")]
    authorization: Option<Cow<'a, str>>,
}

impl<'a> FromClient<'a> {
    /// Reads a message; one that is not of the protocol ends the socket.
    pub fn parse(text: &'a str) -> Result<Self, Close> {
        let Envelope { kind, id, payload } = serde_json::from_str(text)
            .map_err(|_| Close::invalid("The message is not one of the protocol"))?;
        match &*kind {
            "connection_init" => {
                let payload =
                    payload.map(|payload| serde_json::from_str::<Option<InitPayload<'_>>>(payload.get()));
                let payload = payload
                    .transpose()
                    .map_err(|_| Close::invalid("The payload of connection_init is not an object"))?
                    .flatten()
                    .unwrap_or_default();
                Ok(Self::Init { authorization: payload.authorization })
            }
            "ping" => Ok(Self::Ping(payload)),
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

    /// The client reads too slowly, or not at all.
    pub const fn try_again(reason: &'static str) -> Self {
        Self::new(1013, reason)
    }

    pub const fn invalid(reason: &'static str) -> Self {
        Self::new(4400, reason)
    }

    pub const fn unauthorized() -> Self {
        Self::new(4401, "Unauthorized")
    }

    /// The token is not good, or no longer: refresh it and come back.
    pub fn forbidden(error: &Error) -> Self {
        Self { code: 4403, reason: error.code().as_str().into() }
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

    pub fn message(self) -> Message {
        Message::Close(Some(CloseFrame { code: self.code, reason: self.reason.into_owned().into() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read() {
        let init = FromClient::parse(r#"{"type":"connection_init","payload":{"Authorization":"Bearer x"}}"#);
        assert!(matches!(init, Ok(FromClient::Init { authorization: Some(text) }) if text == "Bearer x"));
        for empty in [r#"{"type":"connection_init"}"#, r#"{"type":"connection_init","payload":null}"#] {
            assert!(matches!(FromClient::parse(empty), Ok(FromClient::Init { authorization: None })));
        }
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
        ] {
            assert_eq!(FromClient::parse(bad).err().map(|close| close.code), Some(4400), "{bad}");
        }
    }

    #[test]
    fn close_reasons_fit_their_frame() {
        let close = Close::duplicate(&"ß".repeat(64));
        assert!(close.reason.len() <= MAX_REASON);
    }
}
