//! What comes with an operation, on whichever transport.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;

use async_graphql::Variables;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::telemetry::RequestId;

/// An operation as clients send it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incoming<'a> {
    #[serde(borrow)]
    pub query: Cow<'a, str>,
    #[serde(default, borrow)]
    pub operation_name: Option<Cow<'a, str>>,
    #[serde(default)]
    pub variables: Variables,
    /// What marks the operation on a stream that it shares with others. The rest of `extensions` must be
    /// an object, and is not used.
    #[serde(default, rename = "extensions", deserialize_with = "operation_id")]
    pub operation_id: Option<String>,
}

fn operation_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let extensions = Option::<HashMap<String, &'de RawValue>>::deserialize(deserializer)?;
    let id = extensions.as_ref().and_then(|extensions| extensions.get("operationId"));
    Ok(id.and_then(|id| serde_json::from_str(id.get()).ok()))
}

impl<'a> Incoming<'a> {
    pub fn new(query: Cow<'a, str>, operation_name: Option<Cow<'a, str>>, variables: Variables) -> Self {
        Self { query, operation_name, variables, operation_id: None }
    }

    /// The same, for longer than the bytes that it was read from.
    pub fn into_owned(self) -> Incoming<'static> {
        Incoming {
            query: Cow::Owned(self.query.into_owned()),
            operation_name: self.operation_name.map(|name| Cow::Owned(name.into_owned())),
            variables: self.variables,
            operation_id: self.operation_id,
        }
    }

    /// The operation's name; an empty one is none.
    pub fn name(&self) -> Option<&str> {
        self.operation_name.as_deref().filter(|name| !name.is_empty())
    }
}

/// Who asks, from where; for sessions, rate limits and the audit log.
#[derive(Debug, Clone, Default)]
pub struct RequestMeta {
    pub ip: Option<IpAddr>,
    pub user_agent: Option<String>,
    pub request_id: RequestId,
}
