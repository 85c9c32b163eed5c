//! Settles claims that were not confirmed in time.

use futures_util::future::join_all;
use time::Duration;

use crate::domain::Domain;
use crate::model::Result;
use crate::model::claim::{ClaimState, Name};
use crate::model::id::UserId;
use crate::store::{Tx, claim, user};

/// How long one worker has a claim to itself.
const LEASE: Duration = Duration::seconds(30);
/// How many claims are settled side by side: one that waits for a dead shard does not hold up the rest.
const AT_ONCE: usize = 8;

/// What settling a claim came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    Confirmed,
    Freed,
    /// Somebody else was faster.
    Changed,
}

/// What one round of settling did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reconciled {
    pub confirmed: usize,
    pub freed: usize,
    /// Claims whose user's shard can't be reached; they are tried again.
    pub left: usize,
}

impl Domain {
    /// Settles one claim that is not confirmed and whose time is up: confirms it if the user's row names
    /// it, else makes sure that no row can come to name it any more, and only then frees it. Safe to run
    /// by several at once. Where the user's shard can't be reached the claim is left as it is.
    pub async fn reconcile_claim(&self, claim: &claim::Model) -> Result<Settled> {
        let Some(name) = Name::of(claim) else { return Ok(Settled::Changed) };
        let name = &name;
        let user = UserId::from_row(claim.user_id);
        let sign_up = claim.state == ClaimState::Pending as i16 && claim.fence.is_none();
        let counts = self
            .store
            .tx(user.slot(), |tx| async move { counts_for_good(&tx, name, user, sign_up).await })
            .await?;
        if counts {
            let confirmed =
                claim::Model { state: ClaimState::Confirmed as i16, fence: None, ..claim.clone() };
            let changed = self.change_claim(claim, &confirmed).await?;
            return Ok(if changed { Settled::Confirmed } else { Settled::Changed });
        }
        Ok(if self.free_claim(claim).await? { Settled::Freed } else { Settled::Changed })
    }

    /// Settles up to `limit` claims of the shard with this index.
    pub async fn reconcile_claims(&self, shard: usize, limit: u32) -> Result<Reconciled> {
        let now = self.clock.now();
        let due = claim::lease_due(&self.store.shards()[shard], now, now + LEASE, limit).await?;
        let mut sum = Reconciled::default();
        for claims in due.chunks(AT_ONCE) {
            for settled in join_all(claims.iter().map(|claim| self.reconcile_claim(claim))).await {
                match settled {
                    Ok(Settled::Confirmed) => sum.confirmed += 1,
                    Ok(Settled::Freed) => sum.freed += 1,
                    Ok(Settled::Changed) => (),
                    Err(error) => {
                        tracing::info!(%error, "a claim can't be settled yet");
                        sum.left += 1;
                    }
                }
            }
        }
        Ok(sum)
    }
}

/// Whether the user's row names it; and if not, that it never will by what is now under way: a sign-up
/// finds a mark in its place, a change of name another fence than it read.
async fn counts_for_good(tx: &Tx, name: &Name, id: UserId, sign_up: bool) -> Result<bool> {
    if sign_up && user::abort(tx, id).await? {
        return Ok(false);
    }
    match user::lock(tx, id).await? {
        Some(user) if name.is_of(&user) => Ok(true),
        Some(_) => user::raise_fence(tx, id).await.map(|()| false),
        None => Ok(false),
    }
}
