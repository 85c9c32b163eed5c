//! `fowergram shards`: what lies where.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use tokio::sync::mpsc;

use super::output;
use crate::config::{LogConfig, ShardConfig};
use crate::model::Clock;
use crate::store::Store;
use crate::store::overview::{self, Overview, Replica};
use crate::telemetry;

#[derive(Debug, Subcommand)]
pub enum Shards {
    /// Show each shard: where it is, what it holds, its replicas, and whether it answers
    List(Box<ListArgs>),
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    shards: ShardConfig,
    #[command(flatten)]
    log: LogConfig,
}

impl Shards {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(args) => {
                args.shards.check()?;
                list(*args).await
            }
        }
    }
}

/// Fails where a shard does not answer.
async fn list(args: ListArgs) -> anyhow::Result<ExitCode> {
    telemetry::init(&args.log)?;
    let (committed, _) = mpsc::channel(1);
    let store = Store::open(&args.shards, Clock::system(), committed).await?;
    let shards = overview::all(&store).await;
    if args.json {
        output::line(serde_json::to_string_pretty(&shards)?)?;
    } else {
        output::line(table(&shards))?;
    }
    let all = shards.iter().all(|shard| shard.contents.is_some());
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(shards: &[Overview]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["shard", "endpoint", "slots", "users", "posts", "MB", "replicas (lag)", "health"]);
    for number in 2..=5 {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for shard in shards {
        let [users, posts, megabytes, health] = match &shard.contents {
            Some(held) => [
                held.users.to_string(),
                held.posts.to_string(),
                (held.bytes / 1_000_000).to_string(),
                "answers".to_owned(),
            ],
            None => [String::new(), String::new(), String::new(), "does not answer".to_owned()],
        };
        let replicas: Vec<String> = shard.replicas.iter().map(replica).collect();
        let row = [shard.shard.clone(), shard.endpoint.clone(), shard.slots.to_string(), users, posts];
        table.add_row(row.into_iter().chain([megabytes, replicas.join(", "), health]));
    }
    table
}

fn replica(replica: &Replica) -> String {
    let lag = replica.lag_bytes.map_or_else(|| "unknown".to_owned(), |bytes| format!("{} kB", bytes / 1000));
    format!("{} {} ({lag})", replica.name, replica.state)
}
