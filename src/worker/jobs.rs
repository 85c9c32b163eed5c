//! What is done again and again. Every worker does it: a job must not mind another one beside it.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::model::Result;
use crate::store::shard::Shard;
use crate::store::{Connection, Store, idempotency, inbox, log};

/// How long a job waits at most before its first run.
const MAX_FIRST_DELAY: Duration = Duration::from_secs(5);
/// How many rows a purge deletes with one statement.
const PURGE_ROWS: i64 = 1000;

/// Does `work` once in about every `period`, never twice at once, until the process stops. What fails is
/// logged and tried again the next time; a run that has begun ends by itself.
pub async fn every<F, R>(period: Duration, name: &'static str, stopping: CancellationToken, work: F)
where
    F: Fn() -> R,
    R: Future<Output = Result<()>>,
{
    // Workers that start together shall not ask the shards together.
    let mut delay = period.min(MAX_FIRST_DELAY).mul_f64(rand::random());
    while stopping.run_until_cancelled(tokio::time::sleep(delay)).await.is_some() {
        let start = Instant::now();
        let result = work().await;
        metrics::histogram!("fowergram_job_duration_seconds", "task" => name).record(start.elapsed());
        if let Err(error) = result {
            tracing::warn!(job = name, %error, cause = ?error, "job failed");
            metrics::counter!("fowergram_job_failures_total", "task" => name).increment(1);
        }
        delay = period.mul_f64(rand::random_range(0.9..1.1));
    }
}

/// Forgets what is kept for a time only: idempotency records, the receivers' logs,
/// and which conversations people have left.
pub async fn purge(store: &Store) -> Result<()> {
    let mut result = Ok(());
    for shard in store.shards() {
        // One shard that can't be reached does not keep the others from being purged.
        let purged = async {
            drain(shard, |connection| async move { idempotency::purge(&connection, PURGE_ROWS).await })
                .await?;
            drain(shard, |connection| async move { log::purge(&connection, PURGE_ROWS).await }).await?;
            drain(shard, |connection| async move { inbox::purge_left(&connection, PURGE_ROWS).await }).await
        };
        result = result.and(purged.await);
    }
    result
}

/// Deletes a part at a time, until nothing is left to delete.
async fn drain<R>(shard: &Shard, purge: impl Fn(Connection) -> R) -> Result<()>
where
    R: Future<Output = Result<u64>>,
{
    while shard.ask(async |connection| purge(connection).await).await? > 0 {}
    Ok(())
}
