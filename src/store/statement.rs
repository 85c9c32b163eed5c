//! Statements and their parameters.

use sea_orm::{DbBackend, Statement, Value};
use uuid::Uuid;

/// One column of a list of rows, as a parameter for `unnest`.
pub(super) fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Value
where
    Vec<T>: Into<Value>,
{
    rows.iter().map(value).collect::<Vec<T>>().into()
}

/// An array literal, for lists within a list of rows: `unnest` would flatten nested arrays.
pub(super) fn array_literal(values: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let quote = |value: &str| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    let values: Vec<String> = values.into_iter().map(|value| quote(value.as_ref())).collect();
    format!("{{{}}}", values.join(","))
}

/// The same for ids.
pub(super) fn id_array_literal(ids: &[Uuid]) -> String {
    array_literal(ids.iter().map(Uuid::to_string))
}

/// A statement with its parameters.
pub(super) fn sql_with<const N: usize>(sql: &str, values: [Value; N]) -> Statement {
    Statement::from_sql_and_values(DbBackend::Postgres, sql, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_arrays_are_quoted() {
        assert_eq!(array_literal(Vec::<String>::new()), "{}");
        assert_eq!(array_literal(["a b", "été", "NULL", ""]), r#"{"a b","été","NULL",""}"#);
        assert_eq!(array_literal([r#"a"b\c,{}"#]), r#"{"a\"b\\c,{}"}"#);
    }
}
