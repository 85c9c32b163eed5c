//! Every create takes a key; the same key again gives the same answer.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::text::IdempotencyKey;
use super::{Error, Result};

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

/// What a create made, or had made before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created<T> {
    pub id: T,
    pub replayed: bool,
}
