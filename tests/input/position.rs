//! The places at which something can be thrown, found in the schema.

use std::fmt;

use async_graphql::parser::types::{BaseType, FieldDefinition, InputValueDefinition, Type};
use serde_json::{Map, Value, json};

use super::fuzzer::Things;
use crate::harness::client::PASSWORD;
use crate::harness::schema::{ROOTS, Schema, named};

/// What stands in a variable where each request needs a new text.
pub const FRESH: &str = "fresh";

/// An argument or a field of an input object, or the items of such a list; and the document around it.
pub struct InputPosition {
    pub document: String,
    /// The root field's name, or the one of the field within another type.
    pub field: String,
    /// The names from the argument down, as in `input.to.userId`.
    pub path: Vec<String>,
    of: Type,
    in_list: bool,
    /// Whether the schema says what it is when it is left out.
    pub has_default: bool,
    /// The least that the document takes, good.
    variables: Map<String, Value>,
}

impl fmt::Display for InputPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items = if self.in_list { "[]" } else { "" };
        write!(f, "{}({}{items})", self.field, self.path.join("."))
    }
}

impl InputPosition {
    /// The name of the type that is wanted here.
    pub fn kind(&self) -> &str {
        named(&self.of).as_str()
    }

    pub fn is_live(&self) -> bool {
        self.document.starts_with("subscription")
    }

    /// The variables with this value in the place.
    pub fn with(&self, value: &Value, fresh: usize) -> Value {
        let mut variables = Value::Object(self.variables.clone());
        freshen(&mut variables, fresh);
        let value = if self.in_list { json!([value]) } else { value.clone() };
        let mut at = &mut variables;
        for name in &self.path {
            at = &mut at[name.as_str()];
        }
        *at = value;
        variables
    }

    /// Whether an error's field is this place, something in it, or what it is in.
    pub fn is_meant_by(&self, field: &str) -> bool {
        self.path.iter().zip(field.split('.')).all(|(ours, theirs)| ours == theirs)
    }
}

fn freshen(value: &mut Value, fresh: usize) {
    match value {
        Value::String(text) if text.contains(FRESH) => *text = text.replace(FRESH, &format!("fresh{fresh}")),
        Value::Object(fields) => fields.values_mut().for_each(|value| freshen(value, fresh)),
        _ => {}
    }
}

/// Every argument of every field.
pub fn all(schema: &Schema, things: &Things) -> Vec<InputPosition> {
    let mut positions = Vec::new();
    for of in schema.objects() {
        for field in schema.fields(of).into_iter().filter(|field| !field.arguments.is_empty()) {
            for argument in &field.arguments {
                let finder = Finder { schema, things, of, field, argument: &argument.node };
                finder.find(&argument.node, &[], &mut positions);
            }
        }
    }
    positions
}

/// Finds the places in one argument.
struct Finder<'a> {
    schema: &'a Schema,
    things: &'a Things,
    of: &'a str,
    field: &'a FieldDefinition,
    argument: &'a InputValueDefinition,
}

impl Finder<'_> {
    fn find(&self, value: &InputValueDefinition, above: &[String], positions: &mut Vec<InputPosition>) {
        let mut path = above.to_vec();
        path.push(value.name.node.to_string());
        let of = &value.ty.node;
        let has_default = value.default_value.is_some();
        positions.push(InputPosition { has_default, ..self.position(path.clone(), of.clone(), false) });
        if let BaseType::List(item) = &of.base {
            positions.push(self.position(path.clone(), Type::clone(item), true));
        }
        for field in self.schema.input_fields(named(of)) {
            self.find(field, &path, positions);
        }
    }

    fn position(&self, path: Vec<String>, of: Type, in_list: bool) -> InputPosition {
        let name = self.field.name.node.as_str();
        let mut variables = Map::new();
        let (mut defined, mut given) = (Vec::new(), Vec::new());
        for argument in &self.field.arguments {
            let argument = &argument.node;
            let required = !argument.ty.node.nullable && argument.default_value.is_none();
            if required || argument.name == self.argument.name {
                let (name, ty) = (argument.name.node.as_str(), &argument.ty.node);
                defined.push(format!("${name}: {ty}"));
                given.push(format!("{name}: ${name}"));
                variables.insert(name.to_owned(), self.good(name, ty, &path));
            }
        }
        let selection =
            if self.schema.is_composite(named(&self.field.ty.node)) { "{ __typename }" } else { "" };
        let asked = format!("{name}({}) {selection}", given.join(", "));
        let document = self.document(&defined.join(", "), &asked);
        InputPosition { document, field: name.to_owned(), path, of, in_list, has_default: false, variables }
    }

    /// The way from a root to the type.
    fn document(&self, defined: &str, asked: &str) -> String {
        let node = |id: &str| {
            format!("query ({defined}) {{ node(id: \"{id}\") {{ ... on {} {{ {asked} }} }} }}", self.of)
        };
        let things = self.things;
        match self.of {
            of if ROOTS.contains(&of) => format!("{} ({defined}) {{ {asked} }}", of.to_lowercase()),
            "Viewer" => format!("query ({defined}) {{ viewer {{ {asked} }} }}"),
            "Hashtag" => format!("query ({defined}) {{ hashtag(name: \"sun\") {{ {asked} }} }}"),
            "User" => node(&things.user),
            "Post" => node(&things.post),
            "Comment" => node(&things.comment),
            "Conversation" => node(&things.conversation),
            "Media" => node(&things.media),
            "Notification" => node(&things.notification),
            of => panic!("say here how to get to a {of}, whose {asked} takes arguments"),
        }
    }

    /// Something good for an argument or an input's field. An object has what it must, and what is on the
    /// way to the place at which is thrown.
    fn good(&self, name: &str, of: &Type, path: &[String]) -> Value {
        let things = self.things;
        let value = match name {
            "idempotencyKey" | "username" => json!(FRESH),
            "email" => json!(format!("{FRESH}@example.org")),
            "password" => json!(PASSWORD),
            "login" => json!(things.email),
            "name" => json!("sun"),
            "emoji" => json!("👍"),
            "contentType" => json!("image/jpeg"),
            "bytes" => json!(1000),
            "sha256" => json!("0".repeat(64)),
            "to" if path.len() < 3 => json!({ "postId": things.post }),
            "id" | "ids" => json!(self.thing()),
            "postId" => json!(things.post),
            "mediaId" | "mediaIds" => json!(things.awaited),
            "conversationId" => json!(things.conversation),
            _ => self.good_of_type(of, path),
        };
        if matches!(of.base, BaseType::List(_)) && !value.is_array() { json!([value]) } else { value }
    }

    fn good_of_type(&self, of: &Type, path: &[String]) -> Value {
        let of = named(of).as_str();
        if let Some(first) = self.schema.values(of).first() {
            return json!(first);
        }
        let fields = self.schema.input_fields(of);
        if self.schema.is_one_of(of) && fields.iter().any(|field| path.contains(&field.name.node.to_string()))
        {
            // What is thrown is its one field.
            return json!({});
        }
        if fields.is_empty() {
            return match of {
                "Int" => json!(1),
                "Boolean" => json!(false),
                "ID" => json!(self.things.user),
                _ => json!("text"),
            };
        }
        let needed = fields.into_iter().filter(|field| {
            // A message without a text must have something else.
            (!field.ty.node.nullable && field.default_value.is_none()) || field.name.node == "text"
        });
        let good = needed
            .map(|field| (field.name.node.to_string(), self.good(&field.name.node, &field.ty.node, path)));
        Value::Object(good.collect())
    }

    /// The id that a field called like this takes.
    fn thing(&self) -> &str {
        let (name, things) = (self.field.name.node.to_lowercase(), self.things);
        let known = [
            ("post", &things.post),
            ("comment", &things.comment),
            ("conversation", &things.conversation),
            ("message", &things.message),
            ("notification", &things.notification),
            ("session", &things.session),
        ];
        known.into_iter().find(|(part, _)| name.contains(part)).map_or(&things.user, |(_, id)| id)
    }
}
