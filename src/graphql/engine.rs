//! From a request's text to its response: admission once, execution each time.
//!
//! There are schemas for three purposes, built alike. The strict one validates and never executes. The fast one executes
//! what has passed and has no extension, for any makes every field slower. The traced one executes what is recorded.

use std::sync::Arc;

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextExecute};
use async_graphql::parser::types::{ExecutableDocument, OperationType};
use async_graphql::{
    ObjectType, Request, Response, Schema, SchemaBuilder, SubscriptionType, UploadValue, ValidationMode,
    Variables,
};
use futures_util::stream::BoxStream;
use tracing::Span;

use super::document::{self, Document, Documents, Operation};
use super::error::Refusal;
use super::schema::{Mutation, Query};
use super::subscription::SubscriptionRoot as Subscription;
use super::trace::ResolverSpans;
use super::types::Types;
use super::{limits, variables};
use crate::telemetry;

/// The schema, with the documents that it has seen.
pub struct Engine<Q = Query, M = Mutation, S = Subscription> {
    strict: Schema<Q, M, S>,
    fast: Schema<Q, M, S>,
    /// None without traces.
    traced: Option<Schema<Q, M, S>>,
    types: Types,
    documents: Documents,
}

impl<Q, M, S> Engine<Q, M, S>
where
    Q: ObjectType + 'static,
    M: ObjectType + 'static,
    S: SubscriptionType + 'static,
{
    /// Builds the schemas; that with spans of resolvers only if requests are traced. Adds no limits to them: all are in
    /// [`limits`].
    pub fn new(build: impl Fn() -> SchemaBuilder<Q, M, S>, is_traced: bool) -> anyhow::Result<Self> {
        let levels = limits::MAX_LEVELS as usize + 1;
        let build = || build().limit_recursive_depth(levels);
        let strict = build().validation_mode(ValidationMode::Strict).extension(ValidateOnly).finish();
        let fast = || build().validation_mode(ValidationMode::Fast);
        let traced = is_traced.then(|| fast().extension(ResolverSpans).finish());
        let fast = fast().finish();
        let types = Types::read(&fast.sdl())?;
        Ok(Self { strict, fast, traced, types, documents: Documents::default() })
    }

    /// The schema in its own language.
    pub fn sdl(&self) -> String {
        self.fast.sdl()
    }

    /// How many documents are kept.
    pub fn documents(&self) -> u64 {
        self.documents.count()
    }

    /// Decides whether an operation may run with these variables and so many files. Leaves the variables
    /// as they are to be executed.
    pub async fn admit(
        &self,
        text: &str,
        name: Option<&str>,
        variables: &mut Variables,
        uploads: usize,
    ) -> Result<Arc<Operation>, Refusal> {
        let seen = self.documents.get(text);
        telemetry::metrics().document(seen.is_some());
        let operation = if let Some(document) = seen {
            let operation = document.operation(name)?;
            if let (true, Some(definition)) = (operation.varies, operation.definition()) {
                limits::check_operation(&self.types, &operation.document, definition, variables)?;
            }
            Arc::clone(operation)
        } else {
            let (parsed, measures) = document::parse(&self.types, text, variables)?;
            self.validate(&parsed).await?;
            let document = Arc::new(Document::new(&parsed, &measures));
            self.documents.keep(text, Arc::clone(&document));
            Arc::clone(document.operation(name)?)
        };
        let definitions =
            operation.definition().map_or(&[][..], |definition| &definition.variable_definitions);
        variables::check(&self.types, definitions, variables, uploads)?;
        Ok(operation)
    }

    /// A request for an operation that was admitted with just these variables and files.
    pub fn request(operation: &Operation, variables: Variables, uploads: Vec<UploadValue>) -> Request {
        let mut request = Request::new(String::new()).variables(variables);
        request.uploads = uploads;
        request.set_parsed_query(operation.document.clone());
        request
    }

    /// Runs a query or mutation.
    pub async fn execute(&self, request: Request) -> Response {
        self.schema().execute(request).await
    }

    /// Runs a subscription; a query or mutation gives one item.
    pub fn stream(&self, request: Request) -> BoxStream<'static, Response> {
        self.schema().execute_stream(request)
    }

    fn schema(&self) -> &Schema<Q, M, S> {
        self.traced.as_ref().filter(|_| !Span::current().is_disabled()).unwrap_or(&self.fast)
    }

    /// Validates all operations. Without variables: what is found must hold for every later request.
    async fn validate(&self, document: &ExecutableDocument) -> Result<(), Refusal> {
        // The strict schema wants to know which operation would run, and ends before it does.
        let name = document.operations.iter().find_map(|(name, _)| name);
        let mut request = Request::new(String::new());
        request.operation_name = name.map(ToString::to_string);
        request.set_parsed_query(document.clone());
        let errors = self.strict.execute(request).await.errors;
        if errors.is_empty() { Ok(()) } else { Err(Refusal::validation(errors)) }
    }
}

/// Whether the operation may be asked for with GET, which must change nothing.
pub fn is_safe(operation: &Operation) -> bool {
    operation.kind != OperationType::Mutation
}

/// Ends a request after its validation.
struct ValidateOnly;

#[async_graphql::async_trait::async_trait]
impl Extension for ValidateOnly {
    async fn execute(&self, _: &ExtensionContext<'_>, _: Option<&str>, _: NextExecute<'_>) -> Response {
        Response::default()
    }
}

impl ExtensionFactory for ValidateOnly {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[cfg(test)]
mod tests;
