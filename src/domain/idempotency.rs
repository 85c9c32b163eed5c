//! Every create takes a key; the same key again gives the same answer.

use uuid::Uuid;

use super::Domain;
use crate::model::Result;
use crate::model::id::{Slot, UserId};
use crate::model::idempotency::Request;
use crate::store::idempotency;

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
