//! Documents: parsed, measured and validated once, then kept.
//!
//! Parsing and validation take most of the time of a small query. Neither depends on variables, so a
//! document that has passed is kept, bounded by its text's length, and later requests only copy it.

use std::sync::Arc;

use async_graphql::Name;
use async_graphql::parser::types::{
    DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql::{Positioned, Variables};

use super::error::Refusal;
use super::escape;
use super::limits::{self, Measure};
use super::types::Types;
use super::variables::UPLOAD;
use crate::model::Code;

/// What the registry holds at most. A parsed document takes some sixteen times its text.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
const PARSED_FACTOR: usize = 16;
const ENTRY_BYTES: usize = 512;

/// The documents that have passed validation, found by their text.
pub struct Documents {
    cache: moka::sync::Cache<Arc<str>, Arc<Document>>,
}

/// A document that has passed, as its operations.
pub struct Document {
    operations: Vec<(Option<Name>, Arc<Operation>)>,
}

/// One operation with just the fragments that it needs.
pub struct Operation {
    /// Holds this operation alone, so that no name is needed to find it.
    pub document: ExecutableDocument,
    name: Option<Name>,
    pub kind: OperationType,
    pub varies: bool,
}

impl Default for Documents {
    fn default() -> Self {
        let weigher = |text: &Arc<str>, _: &Arc<Document>| {
            u32::try_from(text.len() * PARSED_FACTOR + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        Self { cache: moka::sync::Cache::builder().max_capacity(MAX_BYTES).weigher(weigher).build() }
    }
}

impl Documents {
    /// A document that was kept.
    pub fn get(&self, text: &str) -> Option<Arc<Document>> {
        self.cache.get(text)
    }

    /// Keeps a document that has passed validation.
    pub fn keep(&self, text: &str, document: Arc<Document>) {
        self.cache.insert(text.into(), document);
    }

    /// How many documents are kept, about.
    pub fn count(&self) -> u64 {
        self.cache.run_pending_tasks();
        self.cache.entry_count()
    }
}

/// Parses a document and measures it with these variables. What comes back is not yet validated.
pub fn parse(
    types: &Types,
    text: &str,
    variables: &Variables,
) -> Result<(ExecutableDocument, Vec<Measure>), Refusal> {
    limits::check_text(text)?;
    let text = &*escape::resolve(text)?;
    if text.contains(UPLOAD) {
        return Err(Refusal::new(Code::BadUserInput, "A file is given as a variable."));
    }
    let document = async_graphql::parser::parse_query(text).map_err(|error| {
        let code = match error {
            async_graphql::parser::Error::RecursionLimitExceeded => Code::QueryTooDeep,
            _ => Code::GraphqlParseFailed,
        };
        Refusal::from_error(code, error.into())
    })?;
    let measures = limits::check_document(types, &document, variables)?;
    Ok((document, measures))
}

impl Document {
    /// Takes a validated document apart; the measures are those of its operations, in order.
    pub fn new(document: &ExecutableDocument, measures: &[Measure]) -> Self {
        let operations = document
            .operations
            .iter()
            .zip(measures)
            .map(|((name, operation), measure)| {
                (name.cloned(), Arc::new(Operation::new(document, name.cloned(), operation, measure.varies)))
            })
            .collect();
        Self { operations }
    }

    /// The operation with this name; without one, the only operation.
    pub fn operation(&self, name: Option<&str>) -> Result<&Arc<Operation>, Refusal> {
        let found = match (name, &*self.operations) {
            (None, [(_, only)]) => Some(only),
            (None, _) => {
                let message = "The document has several operations; say which with operationName.";
                return Err(Refusal::new(Code::GraphqlValidationFailed, message));
            }
            (Some(name), operations) => operations
                .iter()
                .find(|(known, _)| known.as_deref().is_some_and(|known| known == name))
                .map(|(_, operation)| operation),
        };
        found.ok_or_else(|| {
            Refusal::new(
                Code::GraphqlValidationFailed,
                "The document has no operation of this operationName.",
            )
        })
    }
}

impl Operation {
    fn new(
        document: &ExecutableDocument,
        name: Option<Name>,
        operation: &Positioned<OperationDefinition>,
        varies: bool,
    ) -> Self {
        let mut alone = ExecutableDocument {
            operations: DocumentOperations::Single(operation.clone()),
            fragments: std::collections::HashMap::new(),
        };
        take_fragments(document, &operation.node.selection_set.node, &mut alone);
        Self { document: alone, name, kind: operation.node.ty, varies }
    }

    /// The name that its document gives it.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The operation's definition.
    pub fn definition(&self) -> Option<&OperationDefinition> {
        self.document.operations.iter().next().map(|(_, operation)| &operation.node)
    }
}

fn take_fragments(from: &ExecutableDocument, set: &SelectionSet, to: &mut ExecutableDocument) {
    for selection in &set.items {
        match &selection.node {
            Selection::Field(field) => take_fragments(from, &field.node.selection_set.node, to),
            Selection::InlineFragment(inline) => take_fragments(from, &inline.node.selection_set.node, to),
            Selection::FragmentSpread(spread) => {
                let name = &spread.node.fragment_name.node;
                if !to.fragments.contains_key(name)
                    && let Some(fragment) = from.fragments.get(name)
                {
                    to.fragments.insert(name.clone(), fragment.clone());
                    take_fragments(from, &fragment.node.selection_set.node, to);
                }
            }
        }
    }
}
