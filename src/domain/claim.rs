//! Names that only one account may have, held by claims.
//!
//! A claim lies in the slot of its name, its user on another shard, so that no transaction covers both.
//! **A claim counts only if the user's row names it**; what a crash left half-way is settled by
//! [`Domain::reconcile_claim`], inline by whoever wants the name, or by the worker.

use futures_util::future::join_all;
use time::{Duration, OffsetDateTime};

use super::Domain;
use super::text::{Email, Username};
use crate::model::account::AccountState;
use crate::model::claim::{ClaimKind, ClaimState, Name};
use crate::model::id::{Slot, UserId};
use crate::model::{Error, Result};
use crate::store::{Tx, claim, user};

/// How long a claim waits for the row that names it.
const PENDING: Duration = Duration::seconds(60);
/// How long a name that was given up is kept for its former owner.
const RESTING: Duration = Duration::days(30);
/// How long one worker has a claim to itself.
const LEASE: Duration = Duration::seconds(30);
/// How many claims are settled side by side: one that waits for a dead shard does not hold up the rest.
const AT_ONCE: usize = 8;

impl Name {
    pub fn username(username: &Username) -> Self {
        Self::new(ClaimKind::Username, username.normal())
    }

    pub fn email(email: &Email) -> Self {
        Self::new(ClaimKind::Email, email.normal())
    }

    /// The name of a claim; `None` if the kind is one that this version does not know.
    pub fn of(claim: &claim::Model) -> Option<Self> {
        let kind = match claim.kind {
            0 => ClaimKind::Username,
            1 => ClaimKind::Email,
            _ => return None,
        };
        Some(Self::new(kind, claim.name.clone()))
    }

    /// Both names of a stored user.
    pub fn both(username: &str, email: &str) -> [Self; 2] {
        let name = |kind, text: &str| Self::new(kind, text.to_ascii_lowercase());
        [name(ClaimKind::Username, username), name(ClaimKind::Email, email)]
    }

    /// Whether this is the user's name: what makes its claim count.
    pub fn is_of(&self, user: &user::Model) -> bool {
        let named = match self.kind() {
            ClaimKind::Username => &user.username,
            ClaimKind::Email => &user.email,
        };
        user.state != AccountState::Aborted as i16 && named.eq_ignore_ascii_case(self.text())
    }

    fn taken(&self) -> Error {
        match self.kind() {
            ClaimKind::Username => Error::UsernameTaken,
            ClaimKind::Email => Error::EmailTaken,
        }
    }
}

/// As people tell operators: `username:ada`.
impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind() {
            ClaimKind::Username => "username",
            ClaimKind::Email => "email",
        };
        write!(f, "{kind}:{}", self.text())
    }
}

/// A pending claim, and what the name was to its user before.
#[derive(Debug, Clone)]
pub struct Held {
    pub claim: claim::Model,
    rested: Option<claim::Model>,
}

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
    /// Claims a name, pending: `fence` is the user's for a change of name, none for a sign-up. A claim
    /// whose time is up is settled first.
    pub(super) async fn hold(&self, name: &Name, user: UserId, fence: Option<i32>) -> Result<Held> {
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

    /// Makes a pending claim last. The reconciler does the same for whoever can't.
    pub(super) async fn confirm(&self, held: &Held) {
        let confirmed =
            claim::Model { state: ClaimState::Confirmed as i16, fence: None, ..held.claim.clone() };
        if let Err(error) = self.change_claim(&held.claim, &confirmed).await {
            tracing::info!(%error, "a claim is left to the reconciler");
        }
    }

    /// Gives a pending claim back, where no row can come to name it any more.
    pub(super) async fn release(&self, held: &Held) {
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
    pub(super) async fn rest(&self, name: &Name, user: UserId) -> Result<()> {
        let until = self.clock.now() + RESTING;
        self.store.tx(name.slot(), |tx| async move { claim::rest(&tx, name, user.uuid(), until).await }).await
    }

    async fn change_claim(&self, from: &claim::Model, to: &claim::Model) -> Result<bool> {
        self.store.tx(slot(from), |tx| async move { claim::change(&tx, from, to).await }).await
    }

    async fn free_claim(&self, claim: &claim::Model) -> Result<bool> {
        self.store.tx(slot(claim), |tx| async move { claim::free(&tx, claim).await }).await
    }

    /// Who has this name, in whatever state the account is.
    pub(super) async fn named(&self, name: &Name) -> Result<Option<std::sync::Arc<user::Model>>> {
        let claim =
            self.store.read(name.slot(), async |connection| claim::find(&connection, name).await).await?;
        let Some(claim) = claim else { return Ok(None) };
        let user = self.tables.users.get(UserId::from_row(claim.user_id)).await?;
        Ok(user.filter(|user| name.is_of(user)))
    }

    /// Whether this user, or a stranger, could take the name now.
    pub(super) async fn is_free(&self, name: &Name, asks: Option<UserId>) -> Result<bool> {
        let claim =
            self.store.read(name.slot(), async |connection| claim::find(&connection, name).await).await?;
        let Some(claim) = claim else { return Ok(true) };
        let holder = UserId::from_row(claim.user_id);
        let resting = claim.state == ClaimState::Resting as i16;
        let over = claim.state != ClaimState::Confirmed as i16 && claim.expires_at <= self.clock.now();
        let may_end = over || (resting && asks == Some(holder));
        Ok(may_end && !self.tables.users.get(holder).await?.is_some_and(|user| name.is_of(&user)))
    }

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

fn slot(claim: &claim::Model) -> Slot {
    u16::try_from(claim.slot).ok().and_then(Slot::new).expect("a stored slot is in range")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_meet_in_one_slot() {
        let name = |text| Name::username(&Username::parse("username", text).expect("a name"));
        assert_eq!(name("Ada.L"), name("ada.l"));
        assert_eq!(name("Ada.L").slot(), name("aDA.l").slot());
        let email = Name::email(&Email::parse("email", "Ada@B.org").expect("an address"));
        assert_eq!(email.text(), "ada@b.org");
    }
}
