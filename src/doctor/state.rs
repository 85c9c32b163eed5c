//! What belongs to a shard itself: its schema's version, and its outbox.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::target::{PAGE, Target};
use crate::model::Result;
use crate::store::audit::outbox;
use crate::store::migrate::schema;
use crate::worker::relay;

/// How long to wait for the connection to NATS before events are left where they are.
const CONNECT: Duration = Duration::from_secs(2);

/// Migrations are left to `fowergram migrate`, for they take their own time.
pub(super) async fn schema(target: &mut Target<'_>) -> Result<()> {
    let schema = schema::version(&target.domain.store.shards()[target.shard]).await?;
    target.looked(schema.applied.len());
    for name in schema.pending {
        target.fault(name, "is not applied: run `fowergram migrate up`".to_owned(), false);
    }
    for name in schema.unknown {
        target.fault(name, "is not of this release".to_owned(), false);
    }
    Ok(())
}

/// Events that wait are published, as the sweeper of a worker does.
pub(super) async fn outbox(target: &mut Target<'_>) -> Result<()> {
    let seconds = target.options.grace.as_seconds_f64();
    let look = async |connection| {
        let (rows, _) = outbox::count(&connection, seconds).await?;
        Ok((rows, outbox::waiting(&connection, seconds, PAGE).await?))
    };
    let (rows, waiting) = target.ask(look).await?;
    target.looked(usize::try_from(rows).unwrap_or(0));
    if waiting.is_empty() {
        return Ok(());
    }
    if target.options.fix {
        publish(target).await;
    }
    let left = target.ask(async |connection| outbox::waiting(&connection, seconds, PAGE).await).await?;
    for event in waiting {
        let mended = target.options.fix && !left.iter().any(|left| left.id == event.id);
        target.fault(event.id.to_string(), format!("{} waits for {:.0} s", event.subject, event.age), mended);
    }
    Ok(())
}

async fn publish(target: &Target<'_>) {
    let bus = &target.domain.bus;
    let connected = async {
        while bus.ready().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let done = async {
        tokio::time::timeout(CONNECT, connected).await?;
        bus.ensure_streams().await?;
        relay::sweep(&target.domain.store, bus, target.shard, &CancellationToken::new()).await?;
        anyhow::Ok(())
    };
    if let Err(error) = done.await {
        tracing::warn!(%error, "events can't be published now");
    }
}
