//! The scalars of the schema.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// RFC 3339 timestamp in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateTime(pub OffsetDateTime);

#[Scalar]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else { return Err(InputValueError::expected_type(value)) };
        OffsetDateTime::parse(text, &Rfc3339)
            .map(Self)
            .map_err(|_| InputValueError::custom("not an RFC 3339 timestamp"))
    }

    fn to_value(&self) -> Value {
        self.0.to_offset(time::UtcOffset::UTC).format(&Rfc3339).map_or(Value::Null, Value::String)
    }
}

impl From<OffsetDateTime> for DateTime {
    fn from(at: OffsetDateTime) -> Self {
        Self(at)
    }
}

/// Absolute http(s) URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url(pub url::Url);

#[Scalar(name = "URL")]
impl ScalarType for Url {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else { return Err(InputValueError::expected_type(value)) };
        match url::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(Self(url)),
            _ => Err(InputValueError::custom("not an absolute http(s) URL")),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// Opaque keyset cursor; never parsed by clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

#[Scalar]
impl ScalarType for Cursor {
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
