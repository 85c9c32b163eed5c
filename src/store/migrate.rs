//! Migrations, one after the other, each on all shards concurrently.
//!
//! A migration starts only when the one before is done on all shards. So a failure leaves the shards at most
//! one migration apart, and the next run continues from there. Each shard has its own history and an advisory
//! lock: when two runs overlap, one applies a step and the other finds it done.

pub mod backfill;
mod connection;
mod limits;

mod prerequisites;
pub mod schema;

use std::time::Duration;

use futures_util::future::join_all;
use migration::{Migrator, MigratorTrait};

use super::shard::map::{self, SlotMap};
use crate::config::{Endpoint, ShardConfig};
use connection::{MigrationConnection, retry};
use schema::KNOWN;

/// The default time to wait for another run, and for table locks.
pub const LOCK_WAIT: Duration = Duration::from_mins(5);

/// The result on one shard.
#[derive(Debug)]
pub struct Report {
    pub shard: String,
    pub result: anyhow::Result<String>,
}

/// What to do with the migrations.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// Apply all missing ones, and store the first shard map.
    Up,
    /// Revert this many.
    Down(u32),
    /// Report which are applied.
    Status,
}

/// Runs the step on all shards; waits for another run that is in progress.
pub async fn run(config: &ShardConfig, step: Step) -> Vec<Report> {
    run_reporting(config, step, LOCK_WAIT, &|_| ()).await
}

/// Like [`run`]; waits at most `wait` for another run at each step, and as long for table locks, and reports what
/// it waits for.
pub async fn run_reporting(
    config: &ShardConfig,
    step: Step,
    wait: Duration,
    tell: &(dyn Fn(&str) + Sync),
) -> Vec<Report> {
    let mut shards =
        join_all(config.shards.iter().map(|endpoint| ShardMigration::open(endpoint, config, wait))).await;
    match step {
        Step::Up => up(&mut shards, config, tell).await,
        Step::Down(count) => {
            join_all(shards.iter_mut().map(|shard| shard.take_back(count, tell))).await;
        }
        Step::Status => {
            join_all(shards.iter_mut().map(ShardMigration::look)).await;
        }
    }
    join_all(shards.into_iter().map(ShardMigration::close)).await
}

async fn up(shards: &mut [ShardMigration], config: &ShardConfig, tell: &(dyn Fn(&str) + Sync)) {
    join_all(shards.iter_mut().map(ShardMigration::check)).await;
    for name in KNOWN.iter() {
        if shards.iter().any(ShardMigration::has_failed) {
            break;
        }
        join_all(shards.iter_mut().map(|shard| shard.apply(name, tell))).await;
    }
    let failed: Vec<String> =
        shards.iter().filter(|shard| shard.has_failed()).map(|shard| shard.name.clone()).collect();
    if failed.is_empty() {
        let names: Vec<String> = shards.iter().map(|shard| shard.name.clone()).collect();
        join_all(shards.iter_mut().map(|shard| shard.finish(&names, config, tell))).await;
    } else {
        let failed = failed.join(", ");
        join_all(shards.iter_mut().map(|shard| shard.stop_for(&failed))).await;
    }
}

/// One shard during a run.
struct ShardMigration {
    name: String,
    /// `None` if the shard is unreachable; that is then its failure.
    connection: Option<MigrationConnection>,
    applied: Vec<String>,
    said: Vec<String>,
    failure: Option<anyhow::Error>,
}

impl ShardMigration {
    async fn open(endpoint: &Endpoint, config: &ShardConfig, wait: Duration) -> Self {
        let direct = config.shard_direct.iter().find(|direct| direct.shard == endpoint.shard);
        let (connection, failure) =
            match MigrationConnection::open(direct.unwrap_or(endpoint), endpoint, wait).await {
                Ok(connection) => (Some(connection), None),
                Err(error) => (None, Some(error)),
            };
        Self { name: endpoint.shard.clone(), connection, applied: Vec::new(), said: Vec::new(), failure }
    }

    fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Checks whether the database can be a shard.
    async fn check(&mut self) {
        let Some(connection) = &self.connection else { return };
        self.failure = prerequisites::check(&connection.work).await.err();
    }

    /// Applies this migration unless it was applied meanwhile.
    async fn apply(&mut self, name: &str, tell: &(dyn Fn(&str) + Sync)) {
        let Some(connection) = &mut self.connection else { return };
        let (shard, wait) = (&self.name, connection.wait);
        let done = connection
            .locked(tell, async |work| {
                let state = schema::read(work).await?;
                if !state.pending.iter().any(|pending| pending == name) {
                    return Ok(false);
                }
                anyhow::ensure!(
                    state.unknown.is_empty(),
                    "has {}, which this program does not know: run a newer one",
                    state.unknown.join(", ")
                );
                anyhow::ensure!(state.pending[0] == name, "earlier migrations were taken back meanwhile");
                let tell = |cause: &str| tell(&format!("{shard}: {name}: {cause}"));
                retry(wait, tell, || Migrator::up(work, Some(1))).await?;
                Ok(true)
            })
            .await;
        match done {
            Ok(true) => self.applied.push(name.to_owned()),
            Ok(false) => {}
            Err(error) => self.failure = Some(error.context(format!("{name} failed"))),
        }
    }

    /// Everything that follows the last migration.
    async fn finish(&mut self, names: &[String], config: &ShardConfig, tell: &(dyn Fn(&str) + Sync)) {
        let Some(connection) = &mut self.connection else { return };
        let (role, timeout) =
            (connection.role.clone(), Duration::from_millis(config.shard_statement_timeout_ms));
        let done = connection
            .locked(tell, async |work| {
                map::write(work, 1, &SlotMap::even(names)).await?;
                Ok(limits::set(work, &role, timeout).await)
            })
            .await;
        match done {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                self.said.push(format!("the server's time-outs of {role} are not set: {error}"));
            }
            Err(error) => self.failure = Some(error.context("the shard map can't be stored")),
        }
    }

    /// Reports what was not done because of this or another shard.
    async fn stop_for(&mut self, failed: &str) {
        let Some(connection) = &self.connection else { return };
        let Ok(state) = schema::read(&connection.work).await else { return };
        if !state.is_complete() {
            self.said.push(format!("not begun: {}", state.pending.join(", ")));
        }
        if self.failure.is_none() {
            let done = self.done();
            self.failure = Some(anyhow::anyhow!("{done}; stopped, because {failed} failed"));
        }
    }

    async fn take_back(&mut self, count: u32, tell: &(dyn Fn(&str) + Sync)) {
        let Some(connection) = &mut self.connection else { return };
        let (shard, wait) = (&self.name, connection.wait);
        let done = connection
            .locked(tell, async |work| {
                let tell = |cause: &str| tell(&format!("{shard}: {cause}"));
                for _ in 0..count {
                    retry(wait, tell, || Migrator::down(work, Some(1))).await?;
                }
                Ok(())
            })
            .await;
        match done {
            Ok(()) => self.said.push(format!("took back {count}")),
            Err(error) => self.failure = Some(error),
        }
    }

    async fn look(&mut self) {
        let Some(connection) = &self.connection else { return };
        match look(connection).await {
            Ok(said) => self.said = said,
            Err(error) => self.failure = Some(error),
        }
    }

    fn done(&self) -> String {
        if self.applied.is_empty() {
            "applied nothing".to_owned()
        } else {
            format!("applied {}", self.applied.join(", "))
        }
    }

    async fn close(self) -> Report {
        let done = self.done();
        let said = self.said.join("; ");
        let result = match self.failure {
            Some(error) if said.is_empty() => Err(error),
            Some(error) => Err(anyhow::anyhow!("{error:#}; {said}")),
            None if self.applied.is_empty() && said.is_empty() => Ok("up to date".to_owned()),
            None if self.applied.is_empty() => Ok(said),
            None if said.is_empty() => Ok(done),
            None => Ok(format!("{done}; {said}")),
        };
        if let Some(connection) = self.connection {
            connection.close().await;
        }
        Report { shard: self.name, result }
    }
}

async fn look(connection: &MigrationConnection) -> anyhow::Result<Vec<String>> {
    let state = schema::read(&connection.work).await?;
    let last = state.applied.last().map_or("none", String::as_str);
    let pending = state.pending.len();
    let mut said = vec![format!("{} applied, last {last}, {pending} pending", state.applied.len())];
    if !state.unknown.is_empty() {
        said.push(format!("of a newer program: {}", state.unknown.join(", ")));
    }
    let backfills = backfill::progress(&connection.work).await?;
    said.extend(backfills.iter().map(ToString::to_string));
    Ok(said)
}
