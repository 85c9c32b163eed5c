//! Loads the whole system on this machine, and measures it against `pgbench` on the same servers.

mod api;
mod fanout;
mod faults;
mod feeds;
mod http;
mod live;
mod load;
mod machine;
mod part;
mod pgbench;
mod population;
mod report;
mod rounds;
mod scenario;
mod socket;
mod stack;
mod traces;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use machine::Memory;
use part::Part;
use pgbench::{Pgbench, Rows};
use population::{Population, Size};
use report::Report;
use rounds::Rounds;
use scenario::{Choice, Scenario};
use stack::Stack;

/// A bound on what `createPost` may reach, posts a second: so many images wait for their posts.
const MOST_POSTS: usize = 6_000;
/// A bound on what one client may post in a second, in all phases of both faults.
const PICTURES_A_SECOND: usize = 1_000;
const MESSAGES: usize = 200;

/// Loads Fowergram on this machine and measures it against pgbench on the same servers
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct Options {
    /// How long each part of a round takes, in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    seconds: u16,

    /// The parts of a round; by default all
    #[arg(long, value_name = "PART", value_enum, value_delimiter = ',')]
    only: Vec<Part>,

    /// How many rounds; the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,

    /// How many connections, each of somebody else who is signed in
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=256))]
    connections: u16,

    /// People in the network; they sign up as everybody does, which takes a while
    #[arg(long, default_value_t = 500)]
    users: usize,

    /// Posts in the network; their images go through the worker
    #[arg(long, default_value_t = 2_000)]
    posts: usize,

    /// Two seconds for each part and a small network: to see that all works, not for figures
    #[arg(long)]
    quick: bool,

    /// Instead: kills a shard under the load of all connections, then stops its clock, each for so many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "10", value_parser = clap::value_parser!(u16).range(2..))]
    faults: Option<u16>,

    /// Instead: one event to many sockets, and the memory of many idle ones
    #[arg(long, conflicts_with = "faults")]
    live: bool,

    /// Instead: how many posts a second reach the feeds of those who follow one another, as many as connections
    #[arg(long, conflicts_with_all = ["faults", "live"])]
    feeds: bool,

    /// Instead: reads of processes with and without traces
    #[arg(long, conflicts_with_all = ["faults", "live", "feeds"])]
    traces: bool,

    /// Instead: clients that use the system as people do
    #[arg(long, value_enum, conflicts_with_all = ["faults", "live", "feeds", "traces"])]
    scenario: Option<Scenario>,

    /// The most clients of the scenario, in place of its own number
    #[arg(long, requires = "scenario", value_parser = clap::value_parser!(u32).range(1..=15_000))]
    clients: Option<u32>,

    /// How long the scenario takes, in seconds, in place of its own time
    #[arg(long, requires = "scenario", value_parser = clap::value_parser!(u32).range(5..=86_400))]
    duration: Option<u32>,

    /// The mean pause between two requests of a client, in milliseconds, in place of the scenario's own
    #[arg(long, requires = "scenario", value_parser = clap::value_parser!(u32).range(1..=600_000))]
    pause: Option<u32>,

    /// The page with the scenario's plots; by default target/loadtest/NAME.html
    #[arg(long, requires = "scenario", value_name = "FILE")]
    html: Option<PathBuf>,

    /// Where the servers keep their files during the run; a folder is made in it and removed
    #[arg(long, env = "BENCH_DIR")]
    dir: Option<PathBuf>,

    /// The program; by default the one beside this one
    #[arg(long)]
    program: Option<PathBuf>,

    /// Writes the report to a file
    #[arg(long)]
    out: Option<PathBuf>,

    /// Puts the report into the marked section of a document
    #[arg(long)]
    update: Option<PathBuf>,
}

/// One thread: the load shares the cores with what it measures.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let mut options = Options::parse();
    if options.quick {
        (options.seconds, options.users, options.posts) = (2, 60, 300);
    }
    let program = program(&options)?;
    let dir = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let dir = std::path::absolute(dir.join(format!("fowergram-bench-{}", std::process::id())))?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let interrupted = async {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
    };
    let mut interrupted = std::pin::pin!(interrupted);

    let mut stack = tokio::select! {
        stack = Stack::start(program, dir) => stack?,
        () = &mut interrupted => anyhow::bail!("interrupted"),
    };
    let outcome = tokio::select! {
        outcome = async {
            match (options.scenario, options.faults) {
                (Some(scenario), _) => run_scenario(&mut stack, &options, scenario).await,
                (_, Some(seconds)) => break_shards(&mut stack, &options, seconds).await,
                _ if options.live || options.feeds || options.traces => compare(&mut stack, &options).await,
                _ => measure(&mut stack, &options).await,
            }
        } => outcome.map(Some),
        () = interrupted => Ok(None),
    };
    stack.stop(outcome.is_err()).await?;
    let report = outcome?.context("interrupted")?;
    publish(&options, &report)
}

async fn run_scenario(stack: &mut Stack, options: &Options, scenario: Scenario) -> anyhow::Result<String> {
    let choice = Choice {
        scenario,
        clients: options.clients,
        seconds: options.duration,
        pause: options.pause.map(|millis| Duration::from_millis(millis.into())),
    };
    let html = options.html.clone();
    let html = html.unwrap_or_else(|| format!("target/loadtest/{}.html", scenario.name()).into());
    scenario::measure(stack, choice, &html).await
}

fn program(options: &Options) -> anyhow::Result<PathBuf> {
    let program = match &options.program {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("fowergram"),
    };
    program
        .canonicalize()
        .with_context(|| format!("{} is not there: cargo build --release -p fowergram", program.display()))
}

async fn measure(stack: &mut Stack, options: &Options) -> anyhow::Result<String> {
    let time = Duration::from_secs(options.seconds.into());
    let connections = usize::from(options.connections);
    stack.serve().await?;
    stack.settle().await;
    let idle = Memory::of(stack.api_pid()?);

    eprintln!("making {} people and {} posts", options.users, options.posts);
    let seconds = usize::from(options.seconds) * (usize::from(options.rounds) + 1);
    let pictures = (seconds * MOST_POSTS).div_ceil(connections) + 100;
    let parts = if options.only.is_empty() { Part::value_variants() } else { &options.only };
    let size = Size {
        users: options.users,
        posts: options.posts,
        viewers: connections,
        pictures: if parts.contains(&Part::CreatePost) { pictures } else { 1 },
        writers: if parts.iter().any(|part| part.is_of_writers()) { connections } else { 0 },
    };
    let mut population = Population::make(stack, size).await?;
    let rows = Rows { people: population.people.len(), posts: population.posts.len() };
    let pgbench = Pgbench::prepare(stack.servers(), stack.dir(), rows, connections).await?;
    stack.settle().await;

    eprintln!("sending {MESSAGES} messages");
    let (reader, writer) = (&population.viewers[0], &population.viewers[1]);
    let live = live::measure(stack.api(0), stack.api(1), reader, writer, MESSAGES).await?;
    let rounds = Rounds::run(stack, &pgbench, &mut population, parts, (options.rounds.into(), time)).await?;
    stack.settle().await;
    let about = format!(
        "{}; {} rounds of {} s a part, {connections} connections, {} people",
        machine::describe()?,
        options.rounds,
        options.seconds,
        population.people.len()
    );
    let after = Memory::of(stack.api_pid()?);
    Ok(Report { about, rounds, live, idle, after }.markdown())
}

/// What is measured without pgbench.
async fn compare(stack: &mut Stack, options: &Options) -> anyhow::Result<String> {
    let report = if options.live {
        fanout::measure(stack).await?
    } else if options.feeds {
        feeds::measure(stack, options.connections.into(), options.posts).await?
    } else {
        compare_traces(stack, options).await?
    };
    Ok(format!("{}.\n\n{report}", machine::describe()?))
}

/// Those who read and post, as many as connections, each with so many pictures.
async fn readers(stack: &Stack, options: &Options, pictures: usize) -> anyhow::Result<Population> {
    eprintln!("making {} people and {} posts", options.users, options.posts);
    let viewers = usize::from(options.connections);
    let size = Size { users: options.users, posts: options.posts, viewers, pictures, writers: 0 };
    let population = Population::make(stack, size).await?;
    stack.settle().await;
    Ok(population)
}

async fn compare_traces(stack: &mut Stack, options: &Options) -> anyhow::Result<String> {
    stack.serve().await?;
    let mut population = readers(stack, options, 1).await?;
    let time = Duration::from_secs(options.seconds.into());
    traces::measure(stack, &mut population, (options.rounds, time)).await
}

async fn break_shards(stack: &mut Stack, options: &Options, seconds: u16) -> anyhow::Result<String> {
    stack.serve().await?;
    let mut population = readers(stack, options, usize::from(seconds) * PICTURES_A_SECOND).await?;
    let report = faults::measure(stack, &mut population, Duration::from_secs(seconds.into())).await?;
    Ok(format!("{}; {} connections\n\n{report}", machine::describe()?, options.connections))
}

fn publish(options: &Options, report: &str) -> anyhow::Result<()> {
    println!("{report}");
    if let Some(file) = &options.out {
        std::fs::write(file, report)?;
    }
    if let Some(file) = &options.update {
        report::update(file, report)?;
    }
    Ok(())
}
