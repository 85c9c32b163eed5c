//! `fowergram migrate`: the shards' schema.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{output, scaffold};
use crate::config::ShardConfig;
use crate::store::migrate::{self, LOCK_WAIT, Step};

#[derive(Debug, Args)]
pub struct MigrateArgs {
    #[command(subcommand)]
    action: Migrate,
}

#[derive(Debug, Subcommand)]
enum Migrate {
    /// Apply what is missing on every shard
    Up(Changed),
    /// Take back the last migrations on every shard
    Down {
        /// How many
        #[arg(default_value_t = 1)]
        count: u32,
        #[command(flatten)]
        changed: Changed,
    },
    /// Say what is applied on every shard, and how far backfills are
    Status(ShardConfig),
    /// Begin a new migration: write its file, in the root of the source tree
    New {
        /// What it does, as in `add_stories`
        name: String,
    },
}

#[derive(Debug, Args)]
struct Changed {
    /// How long to wait where another migration is running, or a table is locked, in seconds
    #[arg(long, default_value_t = LOCK_WAIT.as_secs())]
    lock_wait_seconds: u64,
    #[command(flatten)]
    shards: ShardConfig,
}

impl MigrateArgs {
    /// Says what was done, a line for each shard; fails where it failed on one.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (step, wait, shards) = match self.action {
            Migrate::Up(Changed { lock_wait_seconds, shards }) => (Step::Up, lock_wait_seconds, shards),
            Migrate::Down { count, changed: Changed { lock_wait_seconds, shards } } => {
                (Step::Down(count), lock_wait_seconds, shards)
            }
            Migrate::Status(shards) => (Step::Status, 0, shards),
            Migrate::New { name } => {
                for file in scaffold::migration(&std::env::current_dir()?, &name)? {
                    output::line(file)?;
                }
                return Ok(ExitCode::SUCCESS);
            }
        };
        shards.check()?;
        let tell = |message: &str| eprintln!("{message}");
        let mut code = ExitCode::SUCCESS;
        for report in migrate::run_reporting(&shards, step, Duration::from_secs(wait), &tell).await {
            match report.result {
                Ok(done) => output::line(format_args!("{}: {done}", report.shard))?,
                Err(error) => {
                    eprintln!("{}: {error:#}", report.shard);
                    code = ExitCode::FAILURE;
                }
            }
        }
        Ok(code)
    }
}
