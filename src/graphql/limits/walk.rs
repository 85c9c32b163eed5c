//! The walk over a document that measures it.

use std::collections::HashMap;

use async_graphql::parser::types::{
    ExecutableDocument, Field, FragmentSpread, InlineFragment, Selection, SelectionSet, VariableDefinition,
};
use async_graphql::{Name, Positioned, Value, Variables};

use super::bound::{MAX_ALIASES, MAX_LEVELS};
use super::shape::{Shape, check_directives, too_deep};
use crate::graphql::error::Refusal;
use crate::graphql::types::{DEFAULT_PAGE, Output, Types};
use crate::graphql::variables::int;
use crate::model::Code;

/// What is known of the type that selections are made on.
#[derive(Clone, Copy)]
pub enum Parent<'a> {
    Known(&'a Output),
    Introspection,
    /// Left to validation.
    Unknown,
}

/// A walk over one operation and its fragments.
pub struct Walk<'a> {
    types: &'a Types,
    document: &'a ExecutableDocument,
    variables: &'a Variables,
    definitions: &'a [Positioned<VariableDefinition>],
    /// `None` while the fragment is being measured: who meets it then has found a cycle.
    fragments: HashMap<&'a str, Option<Shape>>,
    aliases: usize,
    /// How many selections were looked at.
    pub steps: usize,
    /// Whether other variables may give another cost.
    pub varies: bool,
}

impl<'a> Walk<'a> {
    pub fn new(
        types: &'a Types,
        document: &'a ExecutableDocument,
        definitions: &'a [Positioned<VariableDefinition>],
        variables: &'a Variables,
    ) -> Self {
        let fragments = HashMap::new();
        Self { types, document, variables, definitions, fragments, aliases: 0, steps: 0, varies: false }
    }

    /// Measures a set of selections; each fragment once.
    pub fn selections(
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
