//! What the schema says about types, read from its own SDL: async-graphql keeps its registry to itself.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, ConstDirective, FieldDefinition, InputValueDefinition, OperationType, Type, TypeDefinition,
    TypeKind, TypeSystemDefinition,
};
use async_graphql::{Name, Positioned, Value};

/// How many items a page has when neither the client nor the schema says so.
pub const DEFAULT_PAGE: u64 = 20;

/// Output types with their fields and input types with their shape.
#[derive(Debug, Default)]
pub struct Types {
    outputs: HashMap<String, Output>,
    inputs: HashMap<String, Input>,
    roots: [Option<String>; 3],
}

/// An object or interface.
#[derive(Debug, Default)]
pub struct Output {
    fields: HashMap<String, OutputField>,
}

/// A field of an object or interface.
#[derive(Debug)]
pub struct OutputField {
    /// The named type inside lists and non-nulls.
    pub ty: String,
    /// For a field that takes `first` or `last`: the page's size when the client gives none.
    pub page: Option<u64>,
}

/// A type that a variable can have.
#[derive(Debug)]
pub enum Input {
    Scalar,
    Enum(HashSet<String>),
    Object { fields: HashMap<String, InputField>, one_of: bool },
}

/// A field of an input object.
#[derive(Debug)]
pub struct InputField {
    pub ty: Type,
    pub required: bool,
}

impl Types {
    /// Reads the SDL that a schema printed of itself.
    pub fn read(sdl: &str) -> anyhow::Result<Self> {
        let mut types = Self::default();
        for scalar in ["Int", "Float", "String", "Boolean", "ID"] {
            types.inputs.insert(scalar.to_owned(), Input::Scalar);
        }
        for definition in parse_schema(sdl)?.definitions {
            match definition {
                TypeSystemDefinition::Schema(schema) => {
                    let roots = [schema.node.query, schema.node.mutation, schema.node.subscription];
                    types.roots = roots.map(|root| root.map(|name| name.node.to_string()));
                }
                TypeSystemDefinition::Type(definition) => types.add(definition.node),
                TypeSystemDefinition::Directive(_) => {}
            }
        }
        Ok(types)
    }

    pub fn output(&self, name: &str) -> Option<&Output> {
        self.outputs.get(name)
    }

    pub fn input(&self, name: &str) -> Option<&Input> {
        self.inputs.get(name)
    }

    /// The type at the root of such an operation.
    pub fn root(&self, operation: OperationType) -> Option<&Output> {
        let (index, name) = match operation {
            OperationType::Query => (0, "Query"),
            OperationType::Mutation => (1, "Mutation"),
            OperationType::Subscription => (2, "Subscription"),
        };
        self.output(self.roots[index].as_deref().unwrap_or(name))
    }

    fn add(&mut self, definition: TypeDefinition) {
        let name = definition.name.node.to_string();
        match definition.kind {
            TypeKind::Object(object) => self.add_output(name, object.fields),
            TypeKind::Interface(interface) => self.add_output(name, interface.fields),
            TypeKind::Union(_) => self.add_output(name, Vec::new()),
            TypeKind::Scalar => {
                self.inputs.insert(name, Input::Scalar);
            }
            TypeKind::Enum(listed) => {
                let values =
                    listed.values.into_iter().map(|value| value.node.value.node.to_string()).collect();
                self.inputs.insert(name, Input::Enum(values));
            }
            TypeKind::InputObject(object) => {
                let one_of = has_directive(&definition.directives, "oneOf");
                let fields = object.fields.into_iter().map(|field| input_field(field.node)).collect();
                self.inputs.insert(name, Input::Object { fields, one_of });
            }
        }
    }

    fn add_output(&mut self, name: String, fields: Vec<Positioned<FieldDefinition>>) {
        let fields = fields.into_iter().map(|field| output_field(&field.node)).collect();
        self.outputs.insert(name, Output { fields });
    }
}

impl Output {
    pub fn field(&self, name: &str) -> Option<&OutputField> {
        self.fields.get(name)
    }
}

/// The name inside lists and non-nulls.
pub fn base_name(ty: &Type) -> &Name {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(item) => base_name(item),
    }
}

fn output_field(field: &FieldDefinition) -> (String, OutputField) {
    let mut page = None;
    for argument in &field.arguments {
        if matches!(argument.node.name.node.as_str(), "first" | "last") {
            let default = argument.node.default_value.as_ref().and_then(|value| match &value.node {
                Value::Number(number) => number.as_u64(),
                _ => None,
            });
            page = default.or(page).or(Some(DEFAULT_PAGE));
        }
    }
    (field.name.node.to_string(), OutputField { ty: base_name(&field.ty.node).to_string(), page })
}

fn input_field(field: InputValueDefinition) -> (String, InputField) {
    let required = !field.ty.node.nullable && field.default_value.is_none();
    (field.name.node.to_string(), InputField { ty: field.ty.node, required })
}

fn has_directive(directives: &[Positioned<ConstDirective>], name: &str) -> bool {
    directives.iter().any(|directive| directive.node.name.node == name)
}
