//! What a document may cost, measured before validation.
//!
//! Validators expand fragments wherever they are spread, so that a document of one kilobyte can keep
//! them busy for ever. Here each fragment is measured once; the work is linear in the document's
//! length. What passes is small enough to be expanded.

use std::collections::HashMap;

use async_graphql::parser::types::{
    ExecutableDocument, Field, FragmentSpread, InlineFragment, OperationDefinition, OperationType, Selection,
    SelectionSet, VariableDefinition,
};
use async_graphql::{Name, Pos, Positioned, Value, Variables};

use super::error::Refusal;
use super::types::{DEFAULT_PAGE, Output, Types};
use super::variables::int;
use crate::model::Code;

/// The longest document, in bytes.
pub const MAX_TEXT: usize = 32 * 1024;
/// How deep brackets nest in the text; the parser recurses as deep.
pub const MAX_BRACKETS: usize = 64;
/// How deep fields nest.
pub const MAX_DEPTH: u32 = 15;
/// How deep fields nest inside `__schema` and `__type`; what GraphiQL asks for is 15 deep.
pub const MAX_INTROSPECTION_DEPTH: u32 = 20;
/// How deep selections nest, counting fields, spreads and inline fragments: executors recurse as deep.
pub const MAX_LEVELS: u32 = 48;
/// What a document may cost: each field 1, a page its size times what is inside.
pub const MAX_COST: u64 = 20_000;
/// The same for what is asked of the schema about itself, with guessed sizes of its lists; GraphiQL's
/// question costs about a third.
pub const MAX_INTROSPECTION_COST: u64 = 600_000;
/// How many selections a document may have once its fragments are expanded.
pub const MAX_SELECTIONS: u64 = 10_000;
pub const MAX_ROOT_FIELDS: u64 = 50;
pub const MAX_ALIASES: usize = 500;
/// How many directives one field, spread, fragment, variable or operation may have.
pub const MAX_DIRECTIVES: usize = 4;
pub const MAX_OPERATIONS: usize = 10;

/// Looks at the text alone, so that the parser never meets what would make it recurse too deep.
pub fn check_text(text: &str) -> Result<(), Refusal> {
    if text.len() > MAX_TEXT {
        return Err(Refusal::new(
            Code::QueryTooComplex,
            format!("The document is longer than {MAX_TEXT} bytes."),
        ));
    }
    if brackets(text.as_bytes()) > MAX_BRACKETS {
        return Err(Refusal::new(
            Code::QueryTooDeep,
            format!("The document nests deeper than {MAX_BRACKETS} brackets."),
        ));
    }
    Ok(())
}

/// How deep brackets nest outside of strings and comments.
fn brackets(text: &[u8]) -> usize {
    let (mut depth, mut deepest, mut at) = (0_usize, 0, 0);
    while let Some(&byte) = text.get(at) {
        match byte {
            b'{' | b'[' | b'(' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' | b')' => depth = depth.saturating_sub(1),
            b'#' => at = end_of_comment(text, at),
            b'"' => at = end_of_string(text, at),
            _ => {}
        }
        at += 1;
    }
    deepest
}

/// The place behind the comment that starts here.
pub fn end_of_comment(text: &[u8], start: usize) -> usize {
    let end = text[start..].iter().position(|&byte| byte == b'\n' || byte == b'\r');
    end.map_or(text.len(), |length| start + length)
}

/// The place of the last byte of the string that starts here; behind the text where it has no end.
pub fn end_of_string(text: &[u8], start: usize) -> usize {
    let block = text[start..].starts_with(b"\"\"\"");
    let mut at = if block { start + 3 } else { start + 1 };
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' if block => at += if text[at..].starts_with(b"\\\"\"\"") { 3 } else { 0 },
            b'\\' => at += 1,
            b'"' if block && text[at..].starts_with(b"\"\"\"") => return at + 2,
            b'"' | b'\n' | b'\r' if !block => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

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
    let mut walk = Walk {
        types,
        document,
        variables,
        definitions: &operation.variable_definitions,
        fragments: HashMap::new(),
        aliases: 0,
        steps: 0,
        varies: false,
    };
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

#[derive(Debug, Clone, Copy, Default)]
struct Shape {
    cost: u64,
    introspection: u64,
    /// Selections, once fragments are expanded.
    selections: u64,
    /// Fields at the top.
    width: u64,
    depth: u32,
    introspection_depth: u32,
    levels: u32,
}

impl Shape {
    fn add(&mut self, other: Self) {
        self.cost = self.cost.saturating_add(other.cost);
        self.introspection = self.introspection.saturating_add(other.introspection);
        self.selections = self.selections.saturating_add(other.selections);
        self.width = self.width.saturating_add(other.width);
        self.depth = self.depth.max(other.depth);
        self.introspection_depth = self.introspection_depth.max(other.introspection_depth);
        self.levels = self.levels.max(other.levels);
    }

    fn check(&self, pos: Pos) -> Result<(), Refusal> {
        let deep = [
            (self.depth, MAX_DEPTH),
            (self.introspection_depth, MAX_INTROSPECTION_DEPTH),
            (self.levels, MAX_LEVELS),
        ];
        if let Some((depth, limit)) = deep.into_iter().find(|(depth, limit)| depth > limit) {
            return Err(too_deep(depth, limit, pos));
        }
        let large = [
            (self.cost, MAX_COST, "costs"),
            (self.introspection, MAX_INTROSPECTION_COST, "asks the schema for"),
            (self.selections, MAX_SELECTIONS, "selects"),
            (self.width, MAX_ROOT_FIELDS, "has root fields:"),
        ];
        match large.into_iter().find(|(size, limit, _)| size > limit) {
            Some((size, limit, verb)) => Err(Refusal::at(
                Code::QueryTooComplex,
                format!("The operation {verb} {size}; at most {limit} is allowed."),
                pos,
            )),
            None => Ok(()),
        }
    }
}

fn too_deep(depth: u32, limit: u32, pos: Pos) -> Refusal {
    Refusal::at(
        Code::QueryTooDeep,
        format!("The operation is {depth} levels deep; at most {limit} are allowed."),
        pos,
    )
}

fn check_directives(count: usize, pos: Pos) -> Result<(), Refusal> {
    if count > MAX_DIRECTIVES {
        let message =
            format!("There are {count} directives in one place; at most {MAX_DIRECTIVES} are allowed.");
        return Err(Refusal::at(Code::QueryTooComplex, message, pos));
    }
    Ok(())
}

/// What is known of the type that selections are made on.
#[derive(Clone, Copy)]
enum Parent<'a> {
    Known(&'a Output),
    Introspection,
    /// Left to validation.
    Unknown,
}

struct Walk<'a> {
    types: &'a Types,
    document: &'a ExecutableDocument,
    variables: &'a Variables,
    definitions: &'a [Positioned<VariableDefinition>],
    /// `None` while the fragment is being measured: who meets it then has found a cycle.
    fragments: HashMap<&'a str, Option<Shape>>,
    aliases: usize,
    steps: usize,
    varies: bool,
}

impl<'a> Walk<'a> {
    fn selections(
        &mut self,
        set: &'a Positioned<SelectionSet>,
        parent: Parent<'a>,
        level: u32,
    ) -> Result<Shape, Refusal> {
        if level > MAX_LEVELS {
            return Err(too_deep(level, MAX_LEVELS, set.pos));
        }
        let mut sum = Shape::default();
        for selection in &set.node.items {
            self.steps += 1;
            check_directives(selection.node.directives().len(), selection.pos)?;
            let mut shape = match &selection.node {
                Selection::Field(field) => self.field(field, parent, level)?,
                Selection::FragmentSpread(spread) => self.spread(spread, level)?,
                Selection::InlineFragment(inline) => self.inline(&inline.node, parent, level)?,
            };
            shape.selections = shape.selections.saturating_add(1);
            shape.levels = shape.levels.saturating_add(1);
            sum.add(shape);
        }
        Ok(sum)
    }

    fn field(
        &mut self,
        field: &'a Positioned<Field>,
        parent: Parent<'a>,
        level: u32,
    ) -> Result<Shape, Refusal> {
        if field.node.alias.is_some() {
            self.aliases += 1;
            if self.aliases > MAX_ALIASES {
                let message = format!("The document has more than {MAX_ALIASES} aliases.");
                return Err(Refusal::at(Code::QueryTooComplex, message, field.pos));
            }
        }
        let name = field.node.name.node.as_str();
        let known = if let Parent::Known(output) = parent { output.field(name) } else { None };
        let inside = match (parent, known) {
            (Parent::Introspection, _) => Parent::Introspection,
            (_, Some(known)) => self.types.output(&known.ty).map_or(Parent::Unknown, Parent::Known),
            (_, None) if matches!(name, "__schema" | "__type") => Parent::Introspection,
            _ => Parent::Unknown,
        };
        let children = self.selections(&field.node.selection_set, inside, level + 1)?;
        let mut shape = Shape { width: 1, ..children };
        if matches!(parent, Parent::Introspection) {
            let size = introspection_size(name);
            shape.introspection = children.introspection.saturating_mul(size).saturating_add(1);
            shape.introspection_depth += 1;
        } else {
            let size = self.page(&field.node, known.and_then(|known| known.page));
            shape.cost = children.cost.saturating_mul(size).saturating_add(1);
            shape.introspection = children.introspection.saturating_mul(size);
            shape.depth += 1;
            if matches!(inside, Parent::Introspection) {
                shape.introspection_depth += 1;
            }
        }
        Ok(shape)
    }

    fn spread(&mut self, spread: &'a Positioned<FragmentSpread>, level: u32) -> Result<Shape, Refusal> {
        let name = &spread.node.fragment_name.node;
        match self.fragments.get(name.as_str()) {
            Some(Some(shape)) => return Ok(*shape),
            Some(None) => {
                let message = format!("The fragment {name} spreads itself.");
                return Err(Refusal::at(Code::GraphqlValidationFailed, message, spread.pos));
            }
            None => {}
        }
        let Some(fragment) = self.document.fragments.get(name) else {
            return Ok(Shape::default());
        };
        self.fragments.insert(name.as_str(), None);
        let parent = self.named(&fragment.node.type_condition.node.on.node);
        let shape = self.selections(&fragment.node.selection_set, parent, level + 1)?;
        self.fragments.insert(name.as_str(), Some(shape));
        Ok(shape)
    }

    fn inline(
        &mut self,
        inline: &'a InlineFragment,
        parent: Parent<'a>,
        level: u32,
    ) -> Result<Shape, Refusal> {
        let parent = match &inline.type_condition {
            Some(condition) => self.named(&condition.node.on.node),
            None => parent,
        };
        self.selections(&inline.selection_set, parent, level + 1)
    }

    fn named(&self, name: &Name) -> Parent<'a> {
        if name.starts_with("__") {
            return Parent::Introspection;
        }
        self.types.output(name).map_or(Parent::Unknown, Parent::Known)
    }

    /// How often what is inside this field may come back; 1 for a field that is no page.
    fn page(&mut self, field: &Field, default: Option<u64>) -> u64 {
        let (mut given, mut paged) = (None, default.is_some());
        for argument in ["first", "last"] {
            if let Some(value) = field.get_argument(argument) {
                paged = true;
                given = given.max(number(value.node.clone().into_const_with(|name| self.variable(&name))));
            }
        }
        match given {
            Some(size) => size.max(1),
            None if paged => default.unwrap_or(DEFAULT_PAGE).max(1),
            None => 1,
        }
    }

    /// What a variable is in this request.
    fn variable(&mut self, name: &Name) -> Result<Value, ()> {
        self.varies = true;
        let definition = self.definitions.iter().find(|definition| definition.node.name.node == *name);
        let default = definition.and_then(|definition| definition.node.default_value.as_ref());
        self.variables.get(name).or(default.map(|value| &value.node)).cloned().ok_or(())
    }
}

/// A page's size; less than 0 is 0, and the resolver's to refuse.
fn number(value: Result<Value, ()>) -> Option<u64> {
    match value {
        Ok(Value::Number(number)) => {
            // A variable may say `5.0`.
            let number = int(&number).map_or(number, Into::into);
            number.as_u64().or_else(|| number.as_i64().map(|_| 0))
        }
        _ => None,
    }
}

/// Guesses at the lengths of the schema's lists: types lead to fields, and those to types again.
fn introspection_size(field: &str) -> u64 {
    match field {
        "types" => 100,
        "fields" => 12,
        "inputFields" | "enumValues" | "possibleTypes" | "directives" => 5,
        "args" | "interfaces" | "locations" => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
