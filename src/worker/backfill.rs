//! Goes on with the backfills of a shard, beside whatever else is done there.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::model::Result;
use crate::store::migrate::backfill::{Backfill, Batch, next};
use crate::store::shard::Shard;

/// The shortest pause between two batches.
const PAUSE: Duration = Duration::from_millis(20);

/// Rewrites batch after batch, each backfill in turn, until nothing is left, another worker runs it, or
/// `stopping`. Between two batches it pauses for as long as the first took: half of the time is the others'.
pub async fn run(shard: &Shard, backfills: &[Backfill], stopping: &CancellationToken) -> Result<()> {
    for backfill in backfills {
        loop {
            if stopping.is_cancelled() {
                return Ok(());
            }
            let began = Instant::now();
            match next(shard, backfill).await? {
                Batch::Done => break,
                // The later ones wait, too: one at a time on a shard.
                Batch::Taken => return Ok(()),
                Batch::Rewritten(_) => {}
            }
            stopping.run_until_cancelled(tokio::time::sleep(began.elapsed().max(PAUSE))).await;
        }
    }
    Ok(())
}
