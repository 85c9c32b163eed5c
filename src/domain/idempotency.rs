//! Every create takes a key; the same key again gives the same answer.

use uuid::Uuid;

use super::Domain;
use crate::model::id::{Slot, UserId};
use crate::model::idempotency::Created;
use crate::model::idempotency::Request;
use crate::model::{Error, Result};
use crate::store::Tx;
use crate::store::idempotency::{self, Record, Taking};

/// The creates of a group, whose keys were taken: made anew, or found to be made before.
pub(super) struct Taken<'a> {
    takings: Vec<Taking<'a>>,
    records: Vec<Result<Record>>,
}

impl<'a> Taken<'a> {
    pub(super) async fn take(tx: &Tx, takings: Vec<Taking<'a>>) -> Result<Self> {
        let records = idempotency::take_all(tx, &takings).await?;
        Ok(Self { takings, records })
    }

    /// The places of those that are to be made.
    pub(super) fn fresh(&self) -> impl Iterator<Item = usize> {
        (0..self.records.len()).filter(|place| matches!(self.records[*place], Ok(Record::Fresh)))
    }

    /// Refuses a create. It must have written nothing.
    pub(super) fn refuse(&mut self, place: usize, refusal: Error) {
        self.records[place] = Err(refusal);
    }

    /// The answer for each create. Keys of refused creates are released.
    pub(super) async fn settle(self, tx: &Tx, fresh: &[usize]) -> Result<Vec<Result<Created<Uuid>>>> {
        let refused = fresh.iter().filter(|place| self.records[**place].is_err());
        let refused: Vec<Taking> = refused.map(|place| self.takings[*place]).collect();
        if !refused.is_empty() {
            idempotency::release(tx, &refused).await?;
        }
        let answer = |place: usize| match &self.records[place] {
            Ok(Record::Fresh) => Ok(Created { id: self.takings[place].id, replayed: false }),
            Ok(Record::Replayed(id)) => {
                // The same request twice in one group: the second has the answer of the first, whatever it is.
                let first = self.takings.iter().position(|taking| taking.id == *id);
                match first.map(|first| &self.records[first]) {
                    Some(Err(refusal)) => Err(refusal.clone()),
                    _ => Ok(Created { id: *id, replayed: true }),
                }
            }
            Err(refusal) => Err(refusal.clone()),
        };
        Ok((0..self.records.len()).map(answer).collect())
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
