//! What can be asked, from the schema's own text, so that tests find what is new by themselves.

use std::collections::HashMap;

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    FieldDefinition, InputValueDefinition, TypeDefinition, TypeKind, TypeSystemDefinition,
};
use async_graphql::{Name, parser::types::BaseType, parser::types::Type};

pub const ROOTS: [&str; 3] = ["Query", "Mutation", "Subscription"];

pub struct Schema(HashMap<String, TypeDefinition>);

impl Schema {
    pub fn read() -> Self {
        let document = parse_schema(fowergram::graphql::sdl()).expect("a schema");
        let types = document.definitions.into_iter().filter_map(|definition| match definition {
            TypeSystemDefinition::Type(of) => Some((of.node.name.node.to_string(), of.node)),
            _ => None,
        });
        Self(types.collect())
    }

    /// The names of all object types, in order.
    pub fn objects(&self) -> Vec<&str> {
        let objects = self.0.iter().filter(|(_, of)| matches!(of.kind, TypeKind::Object(_)));
        let mut names: Vec<&str> = objects.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    /// The fields of an object type.
    pub fn fields(&self, of: &str) -> Vec<&FieldDefinition> {
        match self.0.get(of).map(|of| &of.kind) {
            Some(TypeKind::Object(object)) => object.fields.iter().map(|field| &field.node).collect(),
            _ => panic!("{of} is no object"),
        }
    }

    /// The fields of an input object; none for other types.
    pub fn input_fields(&self, of: &str) -> Vec<&InputValueDefinition> {
        match self.0.get(of).map(|of| &of.kind) {
            Some(TypeKind::InputObject(object)) => object.fields.iter().map(|field| &field.node).collect(),
            _ => Vec::new(),
        }
    }

    /// The values of an enum; none for other types.
    pub fn values(&self, of: &str) -> Vec<String> {
        match self.0.get(of).map(|of| &of.kind) {
            Some(TypeKind::Enum(listed)) => {
                listed.values.iter().map(|value| value.node.value.node.to_string()).collect()
            }
            _ => Vec::new(),
        }
    }

    pub fn is_one_of(&self, input: &str) -> bool {
        let directives = self.0.get(input).map_or(&[][..], |of| &of.directives);
        directives.iter().any(|directive| directive.node.name.node == "oneOf")
    }

    /// What an object, an interface or a union can be.
    pub fn possible<'a>(&'a self, of: &'a str) -> Vec<&'a str> {
        match self.0.get(of).map(|of| &of.kind) {
            Some(TypeKind::Union(union)) => union.members.iter().map(|member| member.node.as_str()).collect(),
            Some(TypeKind::Interface(_)) => {
                let is_one = |name: &&str| match &self.0[*name].kind {
                    TypeKind::Object(object) => object.implements.iter().any(|one| one.node == of),
                    _ => false,
                };
                self.objects().into_iter().filter(is_one).collect()
            }
            _ => vec![of],
        }
    }

    /// Whether a field of this type takes a selection.
    pub fn is_composite(&self, name: &str) -> bool {
        let kind = self.0.get(name).map(|of| &of.kind);
        matches!(kind, Some(TypeKind::Object(_) | TypeKind::Interface(_) | TypeKind::Union(_)))
    }
}

/// The name inside lists and non-nulls.
pub fn named(of: &Type) -> &Name {
    match &of.base {
        BaseType::Named(name) => name,
        BaseType::List(item) => named(item),
    }
}
