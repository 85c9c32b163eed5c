//! What comes with an operation, on whichever transport.

use std::borrow::Cow;
use std::net::IpAddr;

use async_graphql::Variables;
use serde::Deserialize;
use serde::de::IgnoredAny;

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
    /// Checked to be an object, and not used.
    #[expect(clippy::zero_sized_map_values, reason = "a set is no JSON object")]
    #[serde(default, rename = "extensions")]
    _extensions: Option<std::collections::HashMap<String, IgnoredAny>>,
}

impl<'a> Incoming<'a> {
    pub fn new(query: Cow<'a, str>, operation_name: Option<Cow<'a, str>>, variables: Variables) -> Self {
        Self { query, operation_name, variables, _extensions: None }
    }

    /// The same, for longer than the bytes that it was read from.
    pub fn into_owned(self) -> Incoming<'static> {
        Incoming {
            query: Cow::Owned(self.query.into_owned()),
            operation_name: self.operation_name.map(|name| Cow::Owned(name.into_owned())),
            variables: self.variables,
            _extensions: None,
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
