//! Finishes or takes back what crashes left of sign-ups and changes of name, and removes what is past
//! its time. Any number of workers may do it at once.

use std::time::Duration;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use crate::domain::Domain;
use crate::domain::account::claim::Reconciled;
use crate::model::Result;
use crate::store::{session, user};

const INTERVAL: Duration = Duration::from_secs(15);
/// Claims, or rows to remove, in one statement.
const BATCH: u32 = 200;
/// How long the mark of a sign-up that was taken back is kept: much longer than any request lasts.
const KEEP_ABORTED: time::Duration = time::Duration::days(7);

/// Settles the claims of one shard again and again, until `stopping`.
pub async fn run(domain: Domain, shard: usize, stopping: CancellationToken) {
    loop {
        let Some(done) = stopping.run_until_cancelled(reconcile_shard(&domain, shard)).await else { return };
        match done {
            Ok(sum) if sum != Reconciled::default() => {
                tracing::info!(shard, sum.confirmed, sum.freed, sum.left, "settled claims");
            }
            Ok(_) => (),
            Err(error) => tracing::info!(shard, %error, "claims can't be settled now"),
        }
        if stopping.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
            return;
        }
    }
}

/// One round on all shards, at once. The first shard that can't be read is the error;
/// the others are done.
pub async fn once(domain: &Domain) -> Result<Reconciled> {
    let shards = 0..domain.store.shards().len();
    let done = join_all(shards.map(|shard| reconcile_shard(domain, shard))).await;
    done.into_iter().try_fold(Reconciled::default(), |sum, done| done.map(|done| add(sum, done)))
}

async fn reconcile_shard(domain: &Domain, index: usize) -> Result<Reconciled> {
    let mut sum = Reconciled::default();
    // Each round leases what it takes, so that it ends also where claims can't be settled.
    loop {
        let done = domain.reconcile_claims(index, BATCH).await?;
        sum = add(sum, done);
        if done == Reconciled::default() {
            break;
        }
    }
    let shard = &domain.store.shards()[index];
    user::purge_aborted(shard, domain.clock.now() - KEEP_ABORTED, BATCH).await?;
    session::purge(shard, BATCH).await?;
    Ok(sum)
}

fn add(sum: Reconciled, more: Reconciled) -> Reconciled {
    Reconciled {
        confirmed: sum.confirmed + more.confirmed,
        freed: sum.freed + more.freed,
        left: sum.left + more.left,
    }
}
