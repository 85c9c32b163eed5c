//! Claiming a name, and giving it up.

use time::{Duration, OffsetDateTime};

use crate::domain::Domain;
use crate::model::Result;
use crate::model::claim::{ClaimState, Name};
use crate::model::id::UserId;
use crate::store::{claim, user};

/// How long a claim waits for the row that names it.
const PENDING: Duration = Duration::seconds(60);
/// How long a released name is kept for its former owner.
const RESTING: Duration = Duration::days(30);

/// A pending claim, and what the name was to its user before.
#[derive(Debug, Clone)]
pub struct Held {
    pub claim: claim::Model,
    rested: Option<claim::Model>,
}

impl Domain {
    /// Claims a name, pending: `fence` is the user's for a change of name, none for a sign-up. A claim
    /// whose time is up is settled first.
    pub(in crate::domain) async fn hold(
        &self,
        name: &Name,
        user: UserId,
        fence: Option<i32>,
    ) -> Result<Held> {
        let mut tried = false;
        loop {
            let now = self.clock.now();
            let wanted = pending(name, user, fence, now + PENDING);
            let wanted_now = &wanted;
            let found =
                self.store.tx(name.slot(), |tx| async move { claim::take(&tx, wanted_now).await }).await?;
            let Some(found) = found else { return Ok(Held { claim: wanted, rested: None }) };
            let resting = found.state == ClaimState::Resting as i16;
            if found.user_id == user.uuid() && resting {
                if self.change_claim(&found, &wanted).await? {
                    return Ok(Held { claim: wanted, rested: Some(found) });
                }
            } else if found.state == ClaimState::Confirmed as i16 || found.expires_at > now {
                return Err(name.taken());
            } else {
                self.reconcile_claim(&found).await?;
            }
            if std::mem::replace(&mut tried, true) {
                return Err(name.taken());
            }
        }
    }

    /// Confirms a pending claim. If this process dies before, the reconciler does it.
    pub(in crate::domain) async fn confirm(&self, held: &Held) {
        let confirmed =
            claim::Model { state: ClaimState::Confirmed as i16, fence: None, ..held.claim.clone() };
        if let Err(error) = self.change_claim(&held.claim, &confirmed).await {
            tracing::info!(%error, "a claim is left to the reconciler");
        }
    }

    /// Gives a pending claim back, where no row can come to name it any more.
    pub(in crate::domain) async fn release(&self, held: &Held) {
        let given_back = match &held.rested {
            Some(rested) => self.change_claim(&held.claim, rested).await,
            None => self.free_claim(&held.claim).await,
        };
        if let Err(error) = given_back {
            tracing::info!(%error, "a claim is left to the reconciler");
        }
    }

    /// Lets the user's name rest. It is done before the row is changed: should the change not come true,
    /// the row still names it, which is what counts, and it is confirmed when its time is up.
    pub(in crate::domain) async fn rest(&self, name: &Name, user: UserId) -> Result<()> {
        let until = self.clock.now() + RESTING;
        self.store.tx(name.slot(), |tx| async move { claim::rest(&tx, name, user.uuid(), until).await }).await
    }

    /// Claims a name for the user whose row names it, where nobody claims it. False where somebody does, or
    /// the row names another. The user's row is held meanwhile, so that it goes on naming it.
    pub async fn claim_again(&self, name: &Name, user: UserId) -> Result<bool> {
        let confirmed = &claim::Model {
            state: ClaimState::Confirmed as i16,
            ..pending(name, user, None, self.clock.now() + PENDING)
        };
        self.store
            .tx(user.slot(), |tx| async move {
                if !user::lock(&tx, user).await?.is_some_and(|row| name.is_of(&row)) {
                    return Ok(false);
                }
                let take = |tx| async move { claim::take(&tx, confirmed).await };
                Ok(self.store.tx(name.slot(), take).await?.is_none())
            })
            .await
    }
}

fn pending(name: &Name, user: UserId, fence: Option<i32>, expires_at: OffsetDateTime) -> claim::Model {
    claim::Model {
        slot: name.slot().column(),
        kind: name.kind().column(),
        name: name.text().to_owned(),
        user_id: user.uuid(),
        state: ClaimState::Pending as i16,
        fence,
        expires_at,
    }
}
