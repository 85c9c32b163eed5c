//! `fowergram dev`: the whole system on one machine, without containers.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Parser};

use super::process::{listen, stop_on_signal};
use crate::app::{App, Role};
use crate::config::{Config, Host};
use crate::dev::{Plan, Servers, token_key};
use crate::http;
use crate::model::Clock;
use crate::seed::{self, Size};
use crate::store::migrate::{self, Step};
use crate::telemetry;

/// The database on each server, and the bucket.
const NAME: &str = "fowergram";
/// Where other commands find the settings of a running `dev`, in its folder.
const SETTINGS: &str = "env";
const SHARDS: u8 = 4;

#[derive(Debug, Args)]
pub struct DevArgs {
    /// The port of the API
    #[arg(long, env = "PORT", default_value_t = 8000)]
    port: u16,

    /// Where the servers keep their data
    #[arg(long, env = "DEV_DIR", default_value = ".dev")]
    dev_dir: PathBuf,

    /// Which log lines are written
    #[arg(long, env = "LOG", default_value = "warn,fowergram=info")]
    log: String,

    /// Start without the demo network
    #[arg(long)]
    no_seed: bool,
}

/// Starts everything, serves until Ctrl-C, stops everything.
pub async fn run(args: DevArgs) -> anyhow::Result<()> {
    let listener = listen(&Host::loopback(), args.port, "PORT").await?;
    let plan =
        Plan { dir: args.dev_dir.clone(), clusters: SHARDS, replica: true, durable: true, first_port: None };
    let servers = Servers::start(&plan, |step| eprintln!("  {step}")).await?;
    let served = serve(&args, &servers, listener).await;
    eprintln!("stopping the servers");
    servers.stop().await;
    served
}

async fn serve(args: &DevArgs, servers: &Servers, listener: tokio::net::TcpListener) -> anyhow::Result<()> {
    for postgres in servers.postgres() {
        postgres.create_database(NAME).await?;
    }
    let storage = servers.storage();
    storage.create_bucket(NAME)?;
    let config = configuration(args, servers)?;
    let traces = telemetry::init_traced(&config.log, &config.traces, Role::Both.name())?;
    for report in migrate::run(&config.shards, Step::Up).await {
        report.result.with_context(|| format!("shard {} could not be migrated", report.shard))?;
    }
    let app = App::start(config, Role::Both, Clock::system()).await?;
    stop_on_signal(&app);
    let demo = app.clone();
    let (url, no_seed) = (format!("http://localhost:{}", listener.local_addr()?.port()), args.no_seed);
    app.tasks().spawn(async move {
        eprintln!("{}", welcome(&url, no_seed));
        if no_seed {
            return;
        }
        let (stopping, size) = (demo.stopping().clone(), Size::default());
        let filled = stopping.run_until_cancelled(Box::pin(seed::run_once(demo.domain(), &size))).await;
        match filled {
            Some(Ok(())) => eprintln!("\nThe demo network is there. Sign in as {}.", seed::DEMO_LOGIN),
            Some(Err(error)) => {
                tracing::warn!(cause = format!("{error:#}"), "the demo network is not complete");
            }
            None => {}
        }
    });
    http::serve(app.clone(), listener).await?;
    app.stop().await;
    traces.close().await;
    Ok(())
}

fn welcome(url: &str, no_seed: bool) -> String {
    let login = if no_seed {
        String::new()
    } else {
        let (login, password) = (seed::DEMO_LOGIN, seed::DEMO_PASSWORD);
        format!("  Sign in as  {login}  with  {password}  (once the demo network is there)\n\n")
    };
    format!(
        "\nFowergram is running.\n\n  \
         API         {url}/graphql\n  \
         Playground  {url}/playground\n  \
         Metrics     {url}/metrics\n  \
         Ready       {url}/ready\n\n\
         {login}\
         Ctrl-C stops everything.\n"
    )
}

#[derive(Parser)]
struct Parsed {
    #[command(flatten)]
    config: Config,
}

/// Writes the settings for other commands, as a shell reads them: passwords are among them.
fn write_settings(dir: &Path, settings: &[String]) -> anyhow::Result<()> {
    let lines = settings.iter().filter_map(|setting| {
        let (name, value) = setting.trim_start_matches('-').split_once('=')?;
        Some(format!("{}='{value}'\n", name.replace('-', "_").to_uppercase()))
    });
    let file = dir.join(SETTINGS);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&file)?;
    file.write_all(lines.collect::<String>().as_bytes())?;
    Ok(())
}

/// The settings under which a process finds these servers: the same that any other deployment is given.
fn configuration(args: &DevArgs, servers: &Servers) -> anyhow::Result<Config> {
    let named = |index: usize, url: String| format!("s{index}={url}");
    let shards: Vec<String> = servers
        .postgres()
        .iter()
        .enumerate()
        .map(|(index, postgres)| named(index, postgres.url(NAME)))
        .collect();
    let storage = servers.storage();
    let mut settings = vec![
        "--environment=development".to_owned(),
        "--log-format=text".to_owned(),
        format!("--log={}", args.log),
        format!("--port={}", args.port),
        format!("--shards={}", shards.join(",")),
        format!("--redis-url={}", servers.redis().url()),
        format!("--nats-url={}", servers.nats().url()),
        format!("--s3-endpoint={}", storage.endpoint()),
        format!("--s3-bucket={NAME}"),
        format!("--s3-access-key-id={}", storage.access_key()),
        format!("--s3-secret-access-key={}", storage.secret_key()),
        format!("--token-key-file={}", token_key(&args.dev_dir)?.display()),
    ];
    settings.extend(servers.replica_url(NAME).map(|url| format!("--shard-replicas={}", named(0, url))));
    write_settings(&args.dev_dir, &settings)?;
    let program = std::iter::once("fowergram".to_owned());
    Ok(Parsed::try_parse_from(program.chain(settings))?.config)
}
