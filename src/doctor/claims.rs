//! Claims on names against the users that name them. They are mended as the reconciler does it.

use time::OffsetDateTime;
use uuid::Uuid;

use super::target::{PAGE, Target};
use crate::domain::account::claim::Settled;
use crate::model::Result;
use crate::model::claim::{ClaimState, Name};
use crate::model::id::{UserId, slot_of};
use crate::store::audit::claim::{self as audit, Named};
use crate::store::claim::{self, Model};

/// Looks for claims of this shard that no user's row names, and for those that were not settled in time.
pub(super) async fn of_nobody(target: &mut Target<'_>) -> Result<()> {
    let mut after = (-1, 0, String::new());
    loop {
        let cutoff = target.cutoff();
        let page =
            async |connection| audit::page(&connection, (after.0, after.1, &after.2), cutoff, PAGE).await;
        let page = target.ask(page).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.slot, last.kind, last.name.clone());
        target.looked(page.len());
        let (confirmed, mut suspects): (Vec<Model>, Vec<Model>) = page.into_iter().partition(is_confirmed);
        let unnamed = |connection, claims| async move { audit::unnamed(&connection, claims).await };
        suspects.extend(target.ask_owners(confirmed, |claim: &Model| slot_of(claim.user_id), unnamed).await);
        for suspect in suspects {
            claim_again(target, &suspect, cutoff).await?;
        }
    }
}

fn is_confirmed(claim: &Model) -> bool {
    claim.state == ClaimState::Confirmed as i16
}

async fn claim_again(target: &mut Target<'_>, seen: &Model, cutoff: OffsetDateTime) -> Result<()> {
    let Some(name) = &Name::of(seen) else { return Ok(()) };
    let store = target.store();
    let found = store.read(name.slot(), async |connection| claim::find(&connection, name).await).await?;
    // Every change of a claim sets another time or state.
    let Some(found) = found.filter(|found| found == seen) else { return Ok(()) };
    let what = if is_confirmed(&found) {
        let user = match target.domain.tables.users.get(UserId::from_row(found.user_id)).await {
            Ok(user) => user,
            Err(error) => {
                target.unseen(store.owner(slot_of(found.user_id)), &error);
                return Ok(());
            }
        };
        if user.is_some_and(|user| name.is_of(&user)) {
            return Ok(());
        }
        format!("is claimed by {}, whose row does not name it", found.user_id)
    } else if found.expires_at < cutoff {
        format!("was to be settled by {}", found.expires_at)
    } else {
        return Ok(());
    };
    let settle = async { Ok(target.domain.reconcile_claim(&found).await? != Settled::Changed) };
    let mended = target.mends(settle).await;
    target.fault(name.to_string(), what, mended);
    Ok(())
}

/// Looks for users of this shard whose names they don't claim.
pub(super) async fn of_users(target: &mut Target<'_>) -> Result<()> {
    let mut after = Uuid::nil();
    loop {
        let page = async |connection| audit::users(&connection, after, PAGE).await;
        let page = target.ask(page).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        target.looked(page.len());
        let names = |user: Named| Name::both(&user.username, &user.email).map(|name| (name, user.id));
        let names = page.into_iter().flat_map(names).collect();
        let unclaimed = |connection, names| async move { audit::unclaimed(&connection, names).await };
        for (name, user) in target.ask_owners(names, |(name, _): &(Name, Uuid)| name.slot(), unclaimed).await
        {
            name_again(target, &name, UserId::from_row(user)).await?;
        }
    }
}

async fn name_again(target: &mut Target<'_>, name: &Name, user: UserId) -> Result<()> {
    let store = target.store();
    let found = store.read(name.slot(), async |connection| claim::find(&connection, name).await).await?;
    let row = target.domain.tables.users.get(user).await?;
    if !row.is_some_and(|row| name.is_of(&row)) {
        return Ok(());
    }
    let what = match found {
        Some(claim) if claim.user_id == user.uuid() => return Ok(()),
        Some(claim) => format!("names {user}, and {} claims it", claim.user_id),
        None => format!("names {user}, and nobody claims it"),
    };
    let claim = async {
        let _alone = target.mending().await;
        target.domain.claim_again(name, user).await
    };
    let mended = target.mends(claim).await;
    target.fault(name.to_string(), what, mended);
    Ok(())
}
