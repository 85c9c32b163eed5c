//! What a document may cost, measured before validation.
//!
//! Validators expand fragments wherever they are spread, so that a document of one kilobyte can keep
//! them busy for ever. Here each fragment is measured once; the work is linear in the document's
//! length. What passes is small enough to be expanded.

mod bound;
mod shape;
mod text;
mod walk;

use async_graphql::Variables;
use async_graphql::parser::types::{ExecutableDocument, OperationDefinition, OperationType};

use super::error::Refusal;
use super::types::Types;
use crate::model::Code;
pub use bound::*;
use shape::check_directives;
pub use text::{check_text, end_of_comment, end_of_string};
use walk::{Parent, Walk};

/// Measures the whole document; each operation with these variables.
///
/// Returns the measures of the operations, in the document's order.
pub fn check_document(
    types: &Types,
    document: &ExecutableDocument,
    variables: &Variables,
) -> Result<Vec<Measure>, Refusal> {
    if document.operations.iter().len() > MAX_OPERATIONS {
        return Err(Refusal::new(
            Code::QueryTooComplex,
            format!("The document has more than {MAX_OPERATIONS} operations."),
        ));
    }
    for fragment in document.fragments.values() {
        check_directives(fragment.node.directives.len(), fragment.pos)?;
    }
    document
        .operations
        .iter()
        .map(|(_, operation)| check_operation(types, document, &operation.node, variables))
        .collect()
}

/// Measures one operation with these variables.
pub fn check_operation(
    types: &Types,
    document: &ExecutableDocument,
    operation: &OperationDefinition,
    variables: &Variables,
) -> Result<Measure, Refusal> {
    check_directives(operation.directives.len(), operation.selection_set.pos)?;
    for variable in &operation.variable_definitions {
        check_directives(variable.node.directives.len(), variable.pos)?;
    }
    let mut walk = Walk::new(types, document, &operation.variable_definitions, variables);
    let parent = types.root(operation.ty).map_or(Parent::Unknown, Parent::Known);
    let shape = walk.selections(&operation.selection_set, parent, 1)?;
    shape.check(operation.selection_set.pos)?;
    if operation.ty == OperationType::Subscription && shape.width > 1 {
        return Err(Refusal::at(
            Code::GraphqlValidationFailed,
            "A subscription has one root field.",
            operation.selection_set.pos,
        ));
    }
    Ok(Measure {
        cost: shape.cost,
        introspection: shape.introspection,
        varies: walk.varies,
        steps: walk.steps,
    })
}

/// What an operation costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    pub cost: u64,
    pub introspection: u64,
    /// Whether other variables may give another cost.
    pub varies: bool,
    /// How many selections were looked at.
    pub steps: usize,
}

#[cfg(test)]
mod tests;
