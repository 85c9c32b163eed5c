//! Scalars of the schema.

use async_graphql::{InputValueError, InputValueResult, MaybeUndefined, Scalar, ScalarType, Value};
use time::format_description::StaticFormatDescription;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use crate::domain::patch::Patch;
use crate::model::page;

/// A date and time in UTC, in the format of RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime(pub OffsetDateTime);

impl From<OffsetDateTime> for DateTime {
    fn from(at: OffsetDateTime) -> Self {
        Self(at)
    }
}

/// Always three digits of a second, so that the texts sort as the times do.
const FORMAT: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A date and time in UTC, in the format of RFC 3339.
#[Scalar(name = "DateTime")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else { return Err(InputValueError::expected_type(value)) };
        OffsetDateTime::parse(text, &Rfc3339)
            .map(Self)
            .map_err(|_| InputValueError::custom("is not a time as in 2026-11-20T12:00:00Z"))
    }

    fn to_value(&self) -> Value {
        // Years beyond 9999 have no RFC 3339 form; no row has one.
        Value::String(self.0.to_offset(UtcOffset::UTC).format(FORMAT).unwrap_or_default())
    }
}

/// An absolute http(s) URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url(pub String);

/// An absolute http(s) URL.
#[Scalar(name = "URL")]
impl ScalarType for Url {
    /// What kind of address is taken is the rule of the field that takes it.
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) => Ok(Self(text)),
            value => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// A position in a list or stream. It is opaque: clients must not parse it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

impl Cursor {
    /// The text, if there is one: many clients begin with an empty cursor.
    pub fn given(&self) -> Option<&str> {
        page::given(Some(&self.0))
    }
}

/// A cursor of ours is much shorter.
const LONGEST: usize = 200;

/// A position in a list or stream. It is opaque: clients must not parse it.
#[Scalar(name = "Cursor")]
impl ScalarType for Cursor {
    /// Reading it is the list's business, which answers `CURSOR_INVALID` for one that is not its own.
    fn parse(value: Value) -> InputValueResult<Self> {
        match value {
            Value::String(text) if text.len() <= LONGEST => Ok(Self(text.trim().to_owned())),
            Value::String(_) => Err(InputValueError::custom("is longer than 200 characters")),
            value => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

impl<T> From<MaybeUndefined<T>> for Patch<T> {
    fn from(value: MaybeUndefined<T>) -> Self {
        match value {
            MaybeUndefined::Undefined => Self::Keep,
            MaybeUndefined::Null => Self::Clear,
            MaybeUndefined::Value(value) => Self::Set(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_with_milliseconds() {
        let read = DateTime::parse(Value::from("2026-11-20T13:00:00+01:00")).expect("RFC 3339");
        assert_eq!(read.to_value(), Value::from("2026-11-20T12:00:00.000Z"));
        assert!(DateTime::parse(Value::from("yesterday")).is_err());
        assert!(Cursor::parse(Value::from("x".repeat(201))).is_err());
    }

    #[test]
    fn a_cursor_comes_without_what_is_around_it() {
        let read = |text: &str| Cursor::parse(Value::from(text)).expect("a text");
        assert_eq!(read(" abc\r\n"), Cursor("abc".to_owned()));
        assert_eq!((read("abc").given(), read("").given(), read("\n").given()), (Some("abc"), None, None));
    }
}
