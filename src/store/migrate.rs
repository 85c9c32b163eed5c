//! Migrations on every shard, each under an advisory lock of its own.

use std::time::Duration;

use anyhow::Context;
use futures_util::future::join_all;
use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use secrecy::ExposeSecret;

use super::map::{self, SlotMap};
use crate::config::{Endpoint, ShardConfig};

/// `pg_advisory_lock`'s key: "fwgm" in ASCII.
const LOCK: i64 = 0x6677_676d;

/// What was done on one shard.
#[derive(Debug)]
pub struct Report {
    pub shard: String,
    pub result: anyhow::Result<String>,
}

/// What to do with the migrations.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// Apply all that are missing, and store the first shard map.
    Up,
    /// Take back this many.
    Down(u32),
    /// Say which are applied.
    Status,
}

/// Runs the step on all shards side by side. A second one that starts meanwhile waits for the first.
pub async fn run(config: &ShardConfig, step: Step) -> Vec<Report> {
    let names: Vec<String> = config.shards.iter().map(|endpoint| endpoint.shard.clone()).collect();
    let shards = config.shards.iter().map(|endpoint| {
        let direct = config.shard_direct.iter().find(|direct| direct.shard == endpoint.shard);
        let names = &names;
        async move {
            let result = run_on(direct.unwrap_or(endpoint), step, names).await;
            Report { shard: endpoint.shard.clone(), result }
        }
    });
    join_all(shards).await
}

async fn run_on(endpoint: &Endpoint, step: Step, names: &[String]) -> anyhow::Result<String> {
    let lock = connect(endpoint).await?;
    lock.execute_unprepared(&format!("select pg_advisory_lock({LOCK})")).await.context("can't lock")?;
    let worker = connect(endpoint).await?;
    let done = match step {
        Step::Up => up(&worker, names).await,
        Step::Down(count) => Migrator::down(&worker, Some(count))
            .await
            .map(|()| format!("took back {count}"))
            .map_err(Into::into),
        Step::Status => status(&worker).await,
    };
    worker.close().await?;
    // Closing the session gives the lock back, also when the process dies before this line.
    lock.close().await?;
    done
}

async fn up(connection: &DatabaseConnection, names: &[String]) -> anyhow::Result<String> {
    let pending = Migrator::get_pending_migrations(connection).await.map_or(0, |pending| pending.len());
    Migrator::up(connection, None).await?;
    map::write(connection, 1, &SlotMap::even(names)).await?;
    Ok(if pending == 0 { "up to date".to_owned() } else { format!("applied {pending}") })
}

async fn status(connection: &DatabaseConnection) -> anyhow::Result<String> {
    Migrator::install(connection).await?;
    let applied = Migrator::get_applied_migrations(connection).await?;
    let pending = Migrator::get_pending_migrations(connection).await?;
    let last = applied.last().map_or_else(|| "none".to_owned(), |migration| migration.name().to_owned());
    Ok(format!("{} applied, last {last}, {} pending", applied.len(), pending.len()))
}

#[expect(clippy::disallowed_methods, reason = "a migration has a connection of its own, past the pools")]
async fn connect(endpoint: &Endpoint) -> anyhow::Result<DatabaseConnection> {
    let mut options = ConnectOptions::new(endpoint.url.expose_secret());
    options.max_connections(1).connect_timeout(Duration::from_secs(5)).sqlx_logging(false);
    Database::connect(options).await.with_context(|| format!("shard {} can't be reached", endpoint.shard))
}
