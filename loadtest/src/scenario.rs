//! Scenarios: clients who use the system as people do, one request after the other with pauses. Figures for each
//! second, a table, and a page with plots.

mod action;
mod board;
mod chaos;
mod client;
mod listener;
mod page;
mod plan;
mod sample;

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::machine;
use crate::population::{self, Population, Size, Viewer};
use crate::report::thousands;
use crate::stack::Stack;
use board::Board;
use chaos::Harm;
use client::{Client, Network};
use listener::{Heard, Listener};
use plan::Plan;
pub use plan::{Choice, Scenario};
use sample::{Meter, Sample};

/// How many people sign up; clients share them.
const PEOPLE: usize = 64;
/// A bound on the posts of one person.
const PICTURES: usize = 4_000;

/// The name of the row of all actions.
const ALL: &str = "all";

/// What a run came to.
pub struct Outcome {
    plan: Plan,
    about: String,
    board: Board,
    samples: Vec<Sample>,
    harms: Vec<Harm>,
}

/// Runs a scenario and writes its page; the table. An error if more failed than the scenario tolerates.
pub async fn measure(stack: &mut Stack, choice: Choice, page: &Path) -> anyhow::Result<String> {
    let plan = choice.plan();
    stack.serve().await?;
    eprintln!("making {PEOPLE} people who follow one another");
    let size = Size {
        users: 300,
        posts: 1_000,
        viewers: PEOPLE,
        pictures: if plan.posts() { PICTURES } else { 1 },
        writers: 0,
    };
    let mut population = Population::make(stack, size).await?;
    let conversations = population::begin_conversations(stack, &population.viewers).await?;
    stack.settle().await;

    let network = Arc::new(Network::new(stack, &mut population, conversations));
    let outcome = run(stack, plan, &network, &population.viewers).await?;
    let (table, verdict) = (outcome.table(), outcome.verdict());
    if let Some(folder) = page.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(page, page::html(&outcome)?).with_context(|| page.display().to_string())?;
    eprintln!("the report is in {}", page.display());
    verdict.map(|()| table.clone()).with_context(|| table)
}

async fn run(
    stack: &Stack,
    plan: Plan,
    network: &Arc<Network>,
    people: &[Viewer],
) -> anyhow::Result<Outcome> {
    let heard = Arc::new(Heard::default());
    let mut sockets = JoinSet::new();
    for number in 0..plan.sockets {
        let mut listener = Listener::new(number, stack, &people[number % people.len()].token, &heard);
        let socket = listener.open().await?;
        sockets.spawn(listener.run(socket));
    }
    let (active, now_active) = watch::channel(0);
    let mut clients = JoinSet::new();
    for number in 0..plan.most_clients() {
        clients.spawn(Client::new(number, &plan, network).run(now_active.clone()));
    }

    eprintln!("{}: {}", plan.name, plan.about);
    let begin = Instant::now();
    let mut meter = Meter::new(stack);
    let mut samples: Vec<Sample> = Vec::new();
    let watch = async {
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        ticks.tick().await;
        for second in 1..=plan.seconds() {
            active.send_replace(plan.clients_at(second));
            ticks.tick().await;
            let sample = meter.take(network, &heard, plan.clients_at(second));
            progress(&sample, second, plan.seconds());
            samples.push(sample);
        }
        active.send_replace(0);
        anyhow::Ok(())
    };
    let harms = async {
        if plan.breaks { chaos::break_things(stack, begin, plan.seconds()).await } else { Ok(Vec::new()) }
    };
    let ended = async {
        while let Some(client) = clients.join_next().await {
            client?;
        }
        anyhow::Ok(())
    };
    drop(now_active);
    let ((), harms) = tokio::try_join!(watch, harms)?;
    drop(active);
    ended.await?;
    sockets.shutdown().await;
    let about = machine::describe()?;
    Ok(Outcome { plan, about, board: network.board(), samples, harms })
}

/// A line that is written over the one before; every ten seconds a new one if nobody looks.
fn progress(sample: &Sample, second: u32, seconds: u32) {
    let line = format!(
        "{second:>4}/{seconds} s  {:>6} clients  {:>6} requests/s  p50 {:>8}  p95 {:>8}  p99 {:>8}  {} errors",
        sample.clients,
        sample.requests,
        board::shown(sample.p50),
        board::shown(sample.p95),
        board::shown(sample.p99),
        sample.errors,
    );
    if std::io::stderr().is_terminal() {
        let end = if second == seconds { "\n" } else { "" };
        eprint!("\r{line}   {end}");
    } else if second.is_multiple_of(10) || second == seconds {
        eprintln!("{line}");
    }
}

impl Outcome {
    /// The figures as Markdown.
    fn table(&self) -> String {
        let mut lines = vec![
            format!("**{}**: {}. {}.", self.plan.name, self.plan.about, self.about),
            String::new(),
            "| | requests | a second | p50 | p95 | p99 | errors |".to_owned(),
            "|---|--:|--:|--:|--:|--:|--:|".to_owned(),
        ];
        for (name, cells) in self.rows() {
            let name = if name == ALL { format!("**{name}**") } else { name.to_owned() };
            lines.push(format!("| {name} | {} |", cells.join(" | ")));
        }
        if self.plan.sockets > 0 {
            let events: u64 = self.samples.iter().map(|sample| sample.events).sum();
            lines.push(format!("\n{events} events reached {} sockets", self.plan.sockets));
        }
        for (code, count) in self.board.codes() {
            lines.push(format!("\n{count} × `{code}`"));
        }
        for harm in &self.harms {
            lines.push(format!("\nat {} s: {}", harm.second, harm.what));
        }
        lines.join("\n") + "\n"
    }

    /// For each action, and then for all: requests, a second, p50, p95, p99, errors.
    fn rows(&self) -> Vec<(&'static str, [String; 6])> {
        let seconds = f64::from(self.plan.seconds());
        let total = self.board.total();
        let rows = self.board.actions().chain([(ALL, &total)]).map(|(name, figures)| {
            let [p50, p95, p99] = figures.percentiles().map(board::shown);
            #[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
            let count = figures.count() as f64;
            let errors = figures.errors.to_string();
            (name, [thousands(count), thousands(count / seconds), p50, p95, p99, errors])
        });
        rows.collect()
    }

    /// Whether as few requests failed as the scenario allows, and none once everything is whole again.
    fn verdict(&self) -> anyhow::Result<()> {
        let total = self.board.total();
        anyhow::ensure!(total.count() > 0, "no request was answered");
        #[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
        let share = total.errors as f64 / total.count() as f64;
        anyhow::ensure!(
            share <= self.plan.tolerated,
            "{:.2} % of the requests failed, and {:.2} % may",
            share * 100.0,
            self.plan.tolerated * 100.0
        );
        let end = self.samples.len() - self.samples.len() / 10;
        let late: u64 = self.samples[end..].iter().map(|sample| sample.errors).sum();
        anyhow::ensure!(!self.plan.breaks || late == 0, "{late} requests failed after all was whole again");
        Ok(())
    }
}
