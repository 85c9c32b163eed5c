//! The messages of graphql-transport-ws.

use std::borrow::Cow;

use async_graphql::{Response, ServerError};
use axum::extract::ws::Message;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::close::Close;
use super::credentials;
use crate::graphql::request::Incoming;
use crate::http::operations::{MAX_ID, Outcome};

/// The name in `Sec-WebSocket-Protocol`.
pub const PROTOCOL: &str = "graphql-transport-ws";

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

/// An operation's event as a protocol message.
pub fn write(id: &str, outcome: Outcome<'_>) -> String {
    match outcome {
        Outcome::Next(payload) => ToClient::Next { id, payload },
        Outcome::Refused(payload) => ToClient::Error { id, payload },
        Outcome::Complete => ToClient::Complete { id },
    }
    .text()
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
            assert_eq!(FromClient::parse(bad).err().map(|close| close.code()), Some(4400), "{bad}");
        }
    }
}
