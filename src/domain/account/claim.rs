//! Names that only one account may have, held by claims.
//!
//! A claim lies in the slot of its name, its user on another shard, so that no transaction covers both.
//! **A claim counts only if the user's row names it**; what a crash left half-way is settled by
//! [`Domain::reconcile_claim`], inline by the next request for the name, or by the worker.

mod hold;
mod name;
mod reconcile;

use crate::domain::Domain;
use crate::model::Result;
use crate::model::claim::{ClaimState, Name};
use crate::model::id::{Slot, UserId};
use crate::store::{claim, user};
pub use hold::Held;
pub use reconcile::{Reconciled, Settled};

impl Domain {
    async fn change_claim(&self, from: &claim::Model, to: &claim::Model) -> Result<bool> {
        self.store.tx(slot(from), |tx| async move { claim::change(&tx, from, to).await }).await
    }

    async fn free_claim(&self, claim: &claim::Model) -> Result<bool> {
        self.store.tx(slot(claim), |tx| async move { claim::free(&tx, claim).await }).await
    }

    /// Who has this name, in whatever state the account is.
    pub(in crate::domain) async fn named(&self, name: &Name) -> Result<Option<std::sync::Arc<user::Model>>> {
        let claim =
            self.store.read(name.slot(), async |connection| claim::find(&connection, name).await).await?;
        let Some(claim) = claim else { return Ok(None) };
        let user = self.tables.users.get(UserId::from_row(claim.user_id)).await?;
        Ok(user.filter(|user| name.is_of(user)))
    }

    /// Whether this user, or a stranger, could take the name now.
    pub(in crate::domain) async fn is_free(&self, name: &Name, asks: Option<UserId>) -> Result<bool> {
        let claim =
            self.store.read(name.slot(), async |connection| claim::find(&connection, name).await).await?;
        let Some(claim) = claim else { return Ok(true) };
        let holder = UserId::from_row(claim.user_id);
        let resting = claim.state == ClaimState::Resting as i16;
        let over = claim.state != ClaimState::Confirmed as i16 && claim.expires_at <= self.clock.now();
        let may_end = over || (resting && asks == Some(holder));
        Ok(may_end && !self.tables.users.get(holder).await?.is_some_and(|user| name.is_of(&user)))
    }
}

fn slot(claim: &claim::Model) -> Slot {
    u16::try_from(claim.slot).ok().and_then(Slot::new).expect("a stored slot is in range")
}
