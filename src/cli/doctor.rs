//! `fowergram doctor`: whether the data agrees with itself.

use std::process::ExitCode;

use clap::Args;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use time::Duration;

use super::output::{self, OutputError};
use crate::app::{App, Role};
use crate::config::Config;
use crate::doctor::{self, Check, Line, Options, Report};
use crate::model::Clock;
use crate::telemetry;

/// How many faults of a line are shown in the table.
const SHOWN: usize = 5;
/// Pages are larger than what a request reads, and may take so long, in milliseconds.
const STATEMENT_TIMEOUT_MS: u64 = 60_000;
/// A mend holds one connection while it reads through another.
const POOL_SIZE: u32 = 2;

/// The exit codes behind 0, which is: no faults, or all mended.
const FAULTS_LEFT: u8 = 1;
const NOT_ALL_SEEN: u8 = 2;

const CODES: &str = "Exit status: 0 no fault, or all mended; 1 faults are left; 2 not everything could be looked at, for \
    example because a shard is down. It may run while the system is in use.";

#[derive(Debug, Args)]
#[command(after_help = CODES)]
pub struct DoctorArgs {
    /// Mend what is found
    #[arg(long)]
    fix: bool,

    /// Only these checks, separated by commas: schema, outbox, placement, claims, follows, likes, hashtags, inbox,
    /// counters, media
    #[arg(long, value_delimiter = ',', value_name = "CHECK")]
    only: Vec<Check>,

    /// How long what follows from an event may take before it is missed, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    grace: u32,

    /// As JSON, with up to 1000 faults a line instead of 5
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    config: Config,
}

impl DoctorArgs {
    pub async fn run(mut self) -> anyhow::Result<ExitCode> {
        telemetry::init(&self.config.log)?;
        let shards = &mut self.config.shards;
        shards.shard_statement_timeout_ms = shards.shard_statement_timeout_ms.max(STATEMENT_TIMEOUT_MS);
        shards.shard_pool_size = shards.shard_pool_size.max(POOL_SIZE);
        let checks = if self.only.is_empty() { Check::ALL.to_vec() } else { self.only };
        let checks = Check::ALL.into_iter().filter(|check| checks.contains(check)).collect();
        let options = Options { checks, fix: self.fix, grace: Duration::seconds(self.grace.into()) };
        let app = App::start(self.config, Role::Api, Clock::system()).await?;
        let report = doctor::run(app.domain(), &options).await;
        app.stop().await;
        if self.json {
            output::line(serde_json::to_string_pretty(&report)?)?;
        } else {
            output::line(table(&report))?;
            print(&report)?;
        }
        Ok(match (report.is_complete(), report.left()) {
            (false, _) => NOT_ALL_SEEN.into(),
            (true, 0) => ExitCode::SUCCESS,
            (true, _) => FAULTS_LEFT.into(),
        })
    }
}

fn table(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(["check", "shard", "rows", "faults", "mended", "not seen"]);
    for number in 2..=4 {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for line in &report.lines {
        let Line { check, shard, looked, found, mended, unseen, .. } = line;
        let numbers = [looked, found, mended].map(ToString::to_string);
        let names = [(*check).to_owned(), shard.clone()];
        table.add_row(names.into_iter().chain(numbers).chain([unseen.join(", ")]));
    }
    table
}

/// The faults by name, and the sum.
fn print(report: &Report) -> Result<(), OutputError> {
    for line in report.lines.iter().filter(|line| line.found > 0) {
        output::line(format_args!("\n{} on {}:", line.check, line.shard))?;
        for fault in line.faults.iter().take(SHOWN) {
            let mended = if fault.mended { " (mended)" } else { "" };
            output::line(format_args!("  {} {}{mended}", fault.id, fault.what))?;
        }
        let more = line.found.saturating_sub(SHOWN as u64);
        if more > 0 {
            output::line(format_args!("  and {more} more"))?;
        }
    }
    let sum = |of: fn(&Line) -> u64| report.lines.iter().map(of).sum::<u64>();
    output::line(format_args!(
        "\n{} rows, {} faults, {} mended",
        sum(|line| line.looked),
        sum(|line| line.found),
        sum(|line| line.mended)
    ))
}
