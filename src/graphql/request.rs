//! What comes with an operation, on whichever transport.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::Variables;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::document::Operation;
use super::engine::Engine;
use super::error::Refusal;
use crate::model::Code;

/// An operation as clients send it.
pub struct Incoming<'a> {
    pub query: Cow<'a, str>,
    pub operation_name: Option<Cow<'a, str>>,
    pub variables: Variables,
    pub extensions: Extensions,
}

/// What is read of `extensions`, which must be an object.
#[derive(Debug, Default)]
pub struct Extensions {
    /// What marks the operation on a stream that it shares with others.
    pub operation_id: Option<String>,
    /// Whether the client asks for a document that the server may know by its hash.
    pub persisted_query: bool,
}

/// The same as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(default, borrow)]
    query: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    operation_name: Option<Cow<'a, str>>,
    #[serde(default)]
    variables: Variables,
    #[serde(default)]
    extensions: Extensions,
}

impl<'de: 'a, 'a> Deserialize<'de> for Incoming<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { query, operation_name, variables, extensions } = Written::deserialize(deserializer)?;
        Self::new(query, operation_name, variables, extensions)
            .ok_or_else(|| serde::de::Error::missing_field("query"))
    }
}

impl<'de> Deserialize<'de> for Extensions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Option::<HashMap<String, &'de RawValue>>::deserialize(deserializer)?.unwrap_or_default();
        let id = given.get("operationId");
        Ok(Self {
            operation_id: id.and_then(|id| serde_json::from_str(id.get()).ok()),
            persisted_query: given.get("persistedQuery").is_some_and(|query| query.get() != "null"),
        })
    }
}

impl<'a> Incoming<'a> {
    /// `None` where there is no document, nor a hash of one.
    pub fn new(
        query: Option<Cow<'a, str>>,
        operation_name: Option<Cow<'a, str>>,
        variables: Variables,
        extensions: Extensions,
    ) -> Option<Self> {
        let query = query.or_else(|| extensions.persisted_query.then(Cow::default))?;
        Some(Self { query, operation_name, variables, extensions })
    }

    /// Decides whether the operation may run with so many files.
    pub async fn admit(&mut self, engine: &Engine, uploads: usize) -> Result<Arc<Operation>, Refusal> {
        self.require_document()?;
        let name = self.operation_name.as_deref().filter(|name| !name.is_empty());
        engine.admit(&self.query, name, &mut self.variables, uploads).await
    }

    /// Refuses a request for a persisted document in the words after which clients send the document.
    pub fn require_document(&self) -> Result<(), Refusal> {
        if self.query.is_empty() && self.extensions.persisted_query {
            return Err(Refusal::new(Code::PersistedQueryNotSupported, "PersistedQueryNotSupported"));
        }
        Ok(())
    }

    /// The same, for longer than the bytes that it was read from.
    pub fn into_owned(self) -> Incoming<'static> {
        Incoming {
            query: Cow::Owned(self.query.into_owned()),
            operation_name: self.operation_name.map(|name| Cow::Owned(name.into_owned())),
            variables: self.variables,
            extensions: self.extensions,
        }
    }
}
