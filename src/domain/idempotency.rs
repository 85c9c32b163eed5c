//! Every create takes a key; the same key again gives the same answer.

use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::id::{Slot, UserId};
use super::text::IdempotencyKey;
use super::{Domain, Error, Result};
use crate::store::idempotency;

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

impl Domain {
    /// What the same create of this caller made before, where it may not be made any more.
    pub(super) async fn made_before(
        &self,
        slot: Slot,
        caller: UserId,
        request: &Request,
    ) -> Result<Option<Uuid>> {
        let find = async |connection| idempotency::find(&connection, slot, caller, request).await;
        self.store.read(slot, find).await
    }
}

/// What a create made, or had made before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created<T> {
    pub id: T,
    pub replayed: bool,
}
