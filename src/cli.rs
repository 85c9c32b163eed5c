//! The commands: what a person or a supervisor starts.

mod dev;
mod doctor;
mod fault;
mod migrate;
mod output;
mod process;
mod scaffold;
mod settings;
mod shards;

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use output::OutputError;

use crate::app::{App, Role};
use crate::bus::Bus;
use crate::config::{Config, LogConfig, ServiceConfig, env_file};
use crate::graphql;
use crate::http;
use crate::model::Clock;
use crate::seed::{self, Size};
use crate::telemetry;
use crate::worker::dead;
use process::{listen, stop_on_signal};

/// A GraphQL backend for a photo-sharing social network, on sharded PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "fowergram", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer requests
    Serve(Box<Config>),
    /// Do the work behind the requests: events, images, jobs
    Worker(Box<Config>),
    /// Run everything on this machine: the servers, the API and the worker, with a demo network
    Dev(Box<dev::DevArgs>),
    /// Look at the shards
    #[command(subcommand)]
    Shards(shards::Shards),
    /// Say where the data does not agree with itself, and mend it
    Doctor(Box<doctor::DoctorArgs>),
    /// Change the shards' schema
    Migrate(Box<migrate::MigrateArgs>),
    /// Fill an empty system with a believable demo network (a worker must be running)
    Seed(Box<SeedArgs>),
    /// Print the GraphQL schema
    Schema,
    /// Print the documentation of all metrics, in Markdown
    Metrics,
    /// Events that no effect could be made of
    Events(Box<EventsArgs>),
}

#[derive(Debug, Args)]
struct SeedArgs {
    #[command(flatten)]
    size: Size,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, Args)]
struct EventsArgs {
    #[command(subcommand)]
    action: Events,
    #[command(flatten)]
    services: ServiceConfig,
    #[command(flatten)]
    log: LogConfig,
}

#[derive(Debug, Subcommand)]
enum Events {
    /// List them
    Dead {
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Deliver them again, all or the one with this number
    Replay {
        /// The number that `events dead` shows
        number: Option<u64>,
    },
}

impl Cli {
    /// Reads the command line, the environment and the file `.env` of the current folder. What is wrong with them is
    /// told in one line, and the code is what the process is to end with; it is also where help ends.
    pub fn read() -> Result<Self, ExitCode> {
        let file = env_file::read(Path::new(".env")).map_err(|error| {
            eprintln!("fowergram: {error:#}");
            ExitCode::from(2)
        })?;
        let command = Self::command();
        let given = settings::given(std::env::args_os(), &command);
        let matches = settings::with_file(command.clone(), &file).try_get_matches_from(given);
        matches
            .and_then(|matches| Self::from_arg_matches(&matches))
            .map_err(|error| fault::report(&error, &command))
    }

    /// Runs the command to its end.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Serve(config) => serve(*config).await?,
            Command::Worker(config) => work(*config).await?,
            Command::Dev(args) => dev::run(*args).await?,
            Command::Shards(shards) => return shards.run().await,
            Command::Migrate(args) => return args.run().await,
            Command::Doctor(args) => return args.run().await,
            Command::Seed(args) => {
                telemetry::init(&args.config.log)?;
                let app = App::start(args.config, Role::Api, Clock::system()).await?;
                seed::run(app.domain(), &args.size).await?;
                app.stop().await;
            }
            Command::Schema => output::text(graphql::sdl())?,
            Command::Metrics => output::text(telemetry::catalog::Document)?,
            Command::Events(args) => events(*args).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    config.check()?;
    let traces = telemetry::init_traced(&config.log, &config.traces, Role::Api.name())?;
    let listener = listen(&config.http.host, config.http.port, "PORT").await?;
    let app = App::start(config, Role::Api, Clock::system()).await?;
    stop_on_signal(&app);
    tracing::info!(address = %listener.local_addr()?, "serving");
    http::serve(app.clone(), listener).await?;
    app.stop().await;
    traces.close().await;
    Ok(())
}

async fn work(config: Config) -> anyhow::Result<()> {
    config.check()?;
    let traces = telemetry::init_traced(&config.log, &config.traces, Role::Worker.name())?;
    let listener = listen(&config.http.host, config.http.worker_port, "WORKER_PORT").await?;
    let app = App::start(config, Role::Worker, Clock::system()).await?;
    stop_on_signal(&app);
    tracing::info!(address = %listener.local_addr()?, "working");
    http::serve_health(app.clone(), listener).await?;
    app.stop().await;
    traces.close().await;
    Ok(())
}

async fn events(args: EventsArgs) -> anyhow::Result<()> {
    args.services.check()?;
    telemetry::init(&args.log)?;
    let bus = Bus::connect(&args.services).await?;
    match args.action {
        Events::Dead { limit } => {
            for event in dead::list(&bus, limit).await? {
                output::line(event)?;
            }
        }
        Events::Replay { number } => {
            output::line(format_args!("{} delivered again", dead::replay(&bus, number).await?))?;
        }
    }
    Ok(())
}
