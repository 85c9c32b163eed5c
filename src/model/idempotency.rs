//! Every create takes a key; the same key again gives the same answer.

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use super::{Error, Result};

/// A client's name for one create: 1 to 64 visible ASCII characters, as in a UUID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    pub fn parse(field: &'static str, text: &str) -> Result<Self> {
        if !(1..=64).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid(field, "must be 1 to 64 visible ASCII characters"));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for IdempotencyKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// One create as it is told apart from others: the mutation, the client's key, and what was asked.
#[derive(Debug, Clone)]
pub struct Request {
    pub operation: &'static str,
    pub key: IdempotencyKey,
    pub input_hash: [u8; 32],
}

impl Request {
    /// `input` is the parsed input, so that two spellings of one request are the same.
    pub fn new(operation: &'static str, key: IdempotencyKey, input: &impl Serialize) -> Result<Self> {
        let input = serde_json::to_vec(input).map_err(Error::internal)?;
        Ok(Self { operation, key, input_hash: Sha256::digest(input).into() })
    }
}

impl<T> Created<T> {
    pub fn map<U>(self, with: impl FnOnce(T) -> U) -> Created<U> {
        Created { id: with(self.id), replayed: self.replayed }
    }
}

/// What a create made, or had made before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created<T> {
    pub id: T,
    pub replayed: bool,
}
