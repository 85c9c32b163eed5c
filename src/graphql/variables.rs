//! Whether the variables of a request fit the operation's definitions.
//!
//! Documents are validated once and without variables; this is done for each request, so that a wrong
//! value is told in the same words whether the document was seen before or not. Numbers become what the
//! executor takes.

use async_graphql::parser::types::{BaseType, Type, VariableDefinition};
use async_graphql::{Name, Number, Positioned, ScalarType as _, Value, Variables};

use super::error::Refusal;
use super::scalar::{Cursor, DateTime, Url};
use super::types::{Input, Types};
use crate::model::Error;

/// How a file of the multipart request is named among the variables.
pub const UPLOAD: &str = "#__graphql_file__:";

/// Checks all variables that the operation defines; others are ignored. `uploads` is how many files came.
pub fn check(
    types: &Types,
    definitions: &[Positioned<VariableDefinition>],
    variables: &mut Variables,
    uploads: usize,
) -> Result<(), Refusal> {
    let check = Check { types, uploads };
    for definition in definitions {
        let (name, ty) = (&definition.node.name.node, &definition.node.var_type.node);
        match variables.get_mut(name) {
            Some(value) => check.value(name, ty, value)?,
            None if ty.nullable || definition.node.default_value.is_some() => {}
            None => return Err(wrong(name, "is missing")),
        }
    }
    Ok(())
}

struct Check<'a> {
    types: &'a Types,
    uploads: usize,
}

impl Check<'_> {
    fn value(&self, path: &str, ty: &Type, value: &mut Value) -> Result<(), Refusal> {
        match (&mut *value, &ty.base) {
            (Value::Null, _) if ty.nullable => Ok(()),
            (Value::Null, _) => Err(wrong(path, "must not be null")),
            (Value::List(items), BaseType::List(item)) => items
                .iter_mut()
                .enumerate()
                .try_for_each(|(index, value)| self.value(&format!("{path}.{index}"), item, value)),
            // A single value is coerced to a list.
            (value, BaseType::List(item)) => self.value(path, item, value),
            (Value::Number(number), BaseType::Named(name)) if name == "Int" => {
                *number = int(number).ok_or_else(|| wrong(path, "is not of type Int"))?.into();
                Ok(())
            }
            (value, BaseType::Named(name)) => self.named(path, name, value),
        }
    }

    fn named(&self, path: &str, name: &Name, value: &mut Value) -> Result<(), Refusal> {
        let fits = match self.types.input(name) {
            Some(Input::Scalar) => self.scalar(name, value),
            Some(Input::Enum(values)) => match value {
                Value::String(text) => values.contains(text),
                Value::Enum(text) => values.contains(text.as_str()),
                _ => false,
            },
            Some(Input::Object { .. }) => match value {
                Value::Object(_) => return self.object(path, name, value),
                _ => false,
            },
            None => true,
        };
        if fits { Ok(()) } else { Err(wrong(path, &format!("is not of type {name}"))) }
    }

    fn scalar(&self, name: &Name, value: &Value) -> bool {
        match name.as_str() {
            // Numbers have been looked at already.
            "Int" => false,
            "Float" => matches!(value, Value::Number(_)),
            "String" => matches!(value, Value::String(_)),
            "Boolean" => matches!(value, Value::Boolean(_)),
            "ID" => match value {
                Value::String(_) => true,
                Value::Number(number) => number.is_i64(),
                _ => false,
            },
            // async-graphql panics where the number is not one of a file.
            "Upload" => matches!(value, Value::String(text) if text
                .strip_prefix(UPLOAD)
                .and_then(|number| number.parse::<usize>().ok())
                .is_some_and(|number| number < self.uploads)),
            // Here and not only when they are parsed, because the error then does not say which argument.
            "Cursor" => Cursor::parse(value.clone()).is_ok(),
            "DateTime" => DateTime::parse(value.clone()).is_ok(),
            "URL" => Url::parse(value.clone()).is_ok(),
            _ => true,
        }
    }

    fn object(&self, path: &str, name: &Name, value: &mut Value) -> Result<(), Refusal> {
        let (Some(Input::Object { fields, one_of }), Value::Object(given)) = (self.types.input(name), value)
        else {
            return Ok(());
        };
        for (name, value) in given.iter_mut() {
            let path = format!("{path}.{name}");
            match fields.get(name.as_str()) {
                Some(field) => self.value(&path, &field.ty, value)?,
                None => return Err(wrong(&path, "is unknown")),
            }
        }
        if *one_of && (given.len() != 1 || given.values().any(|value| *value == Value::Null)) {
            return Err(wrong(path, "must have exactly one of its fields"));
        }
        let missing =
            fields.iter().find(|(name, field)| field.required && !given.contains_key(name.as_str()));
        match missing {
            Some((name, _)) if !one_of => Err(wrong(&format!("{path}.{name}"), "is missing")),
            _ => Ok(()),
        }
    }
}

/// An Int: a number without fraction, however it is written, of 32 bits.
pub fn int(number: &Number) -> Option<i32> {
    if let Some(whole) = number.as_i64() {
        return i32::try_from(whole).ok();
    }
    let number = number.as_f64()?;
    let range = f64::from(i32::MIN)..=f64::from(i32::MAX);
    #[expect(clippy::cast_possible_truncation, reason = "it is a whole number of 32 bits")]
    (number.fract() == 0.0 && range.contains(&number)).then_some(number as i32)
}

/// Names in paths are the client's own text: what is too long is cut when it is shown.
fn wrong(path: &str, message: &str) -> Refusal {
    let end = path.floor_char_boundary(100);
    Error::invalid(path[..end].to_owned(), message.to_owned()).into()
}
