//! Documents that ask for all there is, made from the schema, so that what is new is asked for as well.

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde_json::Value;

use crate::harness::schema::{ROOTS, Schema, named};

pub struct Documents {
    schema: Schema,
    /// The root fields that were asked for.
    asked: Mutex<BTreeSet<String>>,
}

impl Documents {
    pub fn new() -> Self {
        Self { schema: Schema::read(), asked: Mutex::default() }
    }

    /// A root field with these arguments, and all fields of its answer so many objects deep. Of what may be of several
    /// types only `kind`, where it is given.
    pub fn operation(&self, field: &str, arguments: &Value, depth: usize, kind: Option<&str>) -> String {
        let mut found =
            ROOTS.iter().flat_map(|root| self.schema.fields(root).into_iter().map(move |of| (root, of)));
        let (root, of) = found.find(|(_, of)| of.name.node == field).unwrap_or_else(|| panic!("no {field}"));
        self.note(field);
        let given = arguments.as_object().into_iter().flat_map(serde_json::Map::keys);
        let (mut defined, mut passed) = (Vec::new(), Vec::new());
        for name in given {
            let argument = of.arguments.iter().find(|argument| argument.node.name.node == *name);
            let argument = argument.unwrap_or_else(|| panic!("{field} takes no {name}"));
            defined.push(format!("${name}: {}", argument.node.ty.node));
            passed.push(format!("{name}: ${name}"));
        }
        let list = |items: Vec<String>| {
            if items.is_empty() { String::new() } else { format!("({})", items.join(", ")) }
        };
        let name = named(&of.ty.node).as_str();
        let selection =
            if self.schema.is_composite(name) { self.selection(name, depth, kind) } else { String::new() };
        format!("{} {} {{ {field}{} {selection} }}", root.to_lowercase(), list(defined), list(passed))
    }

    /// Says that a root field is asked for without a document from here.
    pub fn note(&self, field: &str) {
        self.asked.lock().expect("no panic").insert(field.to_owned());
    }

    /// The root fields that nobody has asked for.
    pub fn unasked(&self) -> Vec<String> {
        let asked = self.asked.lock().expect("no panic");
        let fields = ROOTS.iter().flat_map(|root| self.schema.fields(root));
        fields.map(|field| field.name.node.to_string()).filter(|field| !asked.contains(field)).collect()
    }

    fn selection(&self, name: &str, depth: usize, kind: Option<&str>) -> String {
        let possible = self.schema.possible(name);
        if possible == [name] {
            return format!("{{ __typename {} }}", self.fields(name, depth, ""));
        }
        let shared = if name == "Event" { "cursor" } else { "" };
        let wanted = possible.into_iter().filter(|possible| kind.is_none_or(|kind| kind == *possible));
        // Fields of one name may have other types elsewhere.
        let parts =
            wanted.map(|of| format!("... on {of} {{ {} }}", self.fields(of, depth, &format!("{of}_"))));
        format!("{{ __typename {shared} {} }}", parts.collect::<Vec<_>>().join(" "))
    }

    fn fields(&self, of: &str, depth: usize, prefix: &str) -> String {
        let mut parts = Vec::new();
        // These are only around what was asked for.
        let is_around = ["Connection", "Payload"].iter().any(|end| of.ends_with(end));
        let below = if is_around { Some(depth) } else { depth.checked_sub(1) };
        for field in self.schema.fields(of) {
            let (name, kind) = (field.name.node.as_str(), named(&field.ty.node).as_str());
            if name == "edges" {
                continue;
            }
            let takes_first = field.arguments.iter().any(|argument| argument.node.name.node == "first");
            let alias = if prefix.is_empty() { String::new() } else { format!("{prefix}{name}: ") };
            let arguments = if takes_first { "(first: 2)" } else { "" };
            let selection = match below {
                _ if !self.schema.is_composite(kind) => String::new(),
                Some(below) => self.selection(kind, below, None),
                None => continue,
            };
            parts.push(format!("{alias}{name}{arguments} {selection}"));
        }
        parts.join(" ")
    }
}
