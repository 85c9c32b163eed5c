//! The system under load: the servers, two API processes and a worker, as they run in production.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use fowergram::dev::{Child, Plan, Program, Servers};

use crate::http;
use crate::machine;

/// The database of the program on each server.
pub const DATABASE: &str = "fowergram";
const BUCKET: &str = "fowergram";
const SHARDS: u8 = 4;

/// All that runs; stopped by [`Stack::stop`], and at the latest when this process ends.
pub struct Stack {
    servers: Servers,
    program: PathBuf,
    dir: PathBuf,
    env: Vec<(&'static str, String)>,
    apis: Vec<Process>,
    worker: Option<Process>,
}

/// How long processes have worked, by what they are.
#[derive(Debug, Clone, Default)]
pub struct Usage(pub BTreeMap<&'static str, Duration>);

impl Usage {
    pub fn since(&self, earlier: &Self) -> Self {
        let of = |name| earlier.0.get(name).copied().unwrap_or_default();
        Self(self.0.iter().map(|(name, time)| (*name, time.saturating_sub(of(name)))).collect())
    }

    pub fn add(&mut self, other: &Self) {
        for (name, time) in &other.0 {
            *self.0.entry(name).or_default() += *time;
        }
    }
}

/// A process of the program, and the port it was given.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    /// Starts it and waits until it can serve.
    async fn serve(&self) -> anyhow::Result<()> {
        let address = self.address;
        let is_ready =
            || async move { Ok(http::status(address, "/ready").await.is_ok_and(|status| status == 200)) };
        self.child.start(is_ready).await
    }
}

impl Stack {
    /// Starts the servers in this folder and brings their databases to the program's schema.
    pub async fn start(program: PathBuf, dir: PathBuf) -> anyhow::Result<Self> {
        let plan =
            Plan { dir: dir.clone(), clusters: SHARDS, replica: false, durable: true, first_port: None };
        let servers = Servers::start(&plan, |line| eprintln!("{line}")).await?;
        let env = environment(&servers, &dir)?;
        let stack = Self { servers, program, dir, env, apis: Vec::new(), worker: None };
        match stack.prepare().await {
            Ok(()) => Ok(stack),
            Err(error) => {
                stack.stop(true).await?;
                Err(error)
            }
        }
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        for postgres in self.servers.postgres() {
            postgres.create_database(DATABASE).await?;
        }
        self.servers.storage().create_bucket(BUCKET)?;
        self.run(&["migrate", "up"]).await
    }

    /// Runs a command of the program to its end.
    pub async fn run(&self, args: &[&str]) -> anyhow::Result<()> {
        let output = tokio::process::Command::new(&self.program)
            .args(args)
            .current_dir("/")
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .kill_on_drop(true)
            .output()
            .await
            .with_context(|| format!("{} can't be started", self.program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        anyhow::ensure!(output.status.success(), "fowergram {}: {reason}", args.join(" "));
        Ok(())
    }

    /// Starts two API processes and the worker.
    pub async fn serve(&mut self) -> anyhow::Result<()> {
        for name in ["api-1", "api-2"] {
            self.serve_more(name, &[]).await?;
        }
        self.start_worker().await
    }

    /// Stops the worker: events wait for the next one.
    pub async fn stop_worker(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.child.stop().await;
        }
    }

    pub async fn start_worker(&mut self) -> anyhow::Result<()> {
        let worker = self.process("worker", "worker", &[])?;
        worker.child.start(|| async { Ok(true) }).await?;
        self.worker = Some(worker);
        Ok(())
    }

    /// Starts one more API process, with these settings beside those that all have.
    pub async fn serve_more(&mut self, name: &str, settings: &[(&'static str, &str)]) -> anyhow::Result<()> {
        let api = self.process(name, "serve", settings)?;
        api.serve().await?;
        self.apis.push(api);
        Ok(())
    }

    /// Kills the `index`-th API process.
    pub async fn kill_api(&self, index: usize) {
        self.apis[index].child.kill().await;
    }

    /// Starts it again, at its address.
    pub async fn start_api(&self, index: usize) -> anyhow::Result<()> {
        self.apis[index].serve().await
    }

    pub async fn kill_worker(&self) {
        if let Some(worker) = &self.worker {
            worker.child.kill().await;
        }
    }

    pub async fn start_worker_again(&self) -> anyhow::Result<()> {
        let worker = self.worker.as_ref().context("there is no worker")?;
        worker.child.start(|| async { Ok(true) }).await
    }

    fn process(
        &self,
        name: &str,
        command: &str,
        settings: &[(&'static str, &str)],
    ) -> anyhow::Result<Process> {
        let address = free_address()?;
        let mut env = self.env.clone();
        env.extend(settings.iter().map(|(name, value)| (*name, (*value).to_owned())));
        env.extend(["PORT", "WORKER_PORT"].map(|name| (name, address.port().to_string())));
        let child = Child::new(Program {
            name: name.to_owned(),
            path: self.program.clone(),
            args: vec![command.into()],
            env,
            user: None,
            marker: format!("{} {command}", self.program.display()),
            log: self.dir.join("logs").join(format!("{name}.log")),
            pid_file: self.dir.join("pids").join(name),
        });
        Ok(Process { child, address })
    }

    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// The address of the `index`-th API process.
    pub fn api(&self, index: usize) -> SocketAddr {
        self.apis[index].address
    }

    /// The process id of the first API process, which takes the load.
    pub fn api_pid(&self) -> anyhow::Result<u32> {
        self.pid(0)
    }

    /// The process id of the `index`-th API process.
    pub fn pid(&self, index: usize) -> anyhow::Result<u32> {
        self.apis.get(index).and_then(|api| api.child.pid()).context("the API process has ended; see its log")
    }

    /// The process ids of all processes of the program.
    pub fn pids(&self) -> Vec<u32> {
        self.apis.iter().chain(&self.worker).filter_map(|process| process.child.pid()).collect()
    }

    /// What all processes have worked so far.
    pub fn usage(&self) -> Usage {
        let apis = self.apis.iter().filter_map(|api| api.child.pid()).collect();
        let worker = self.worker.iter().filter_map(|worker| worker.child.pid()).collect();
        let processes = [("API", apis), ("worker", worker)].into_iter().chain(self.servers.pids());
        Usage(processes.map(|(name, pids)| (name, machine::cpu_time(&pids))).collect())
    }

    /// Waits until what was written is worked off.
    pub async fn settle(&self) {
        machine::settle(&self.pids()).await;
    }

    /// The folder of this run.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Stops all and removes the folder, but for the logs, if they are to be kept.
    pub async fn stop(self, keep_logs: bool) -> anyhow::Result<()> {
        for process in self.apis.iter().chain(&self.worker) {
            process.child.stop().await;
        }
        self.servers.stop().await;
        // A link where the user of PostgreSQL can't enter the folder.
        let data = self.dir.join("postgres");
        if data.is_symlink() {
            std::fs::remove_dir_all(data.canonicalize()?)?;
        }
        if keep_logs {
            let logs = self.dir.with_extension("logs");
            std::fs::rename(self.dir.join("logs"), &logs)?;
            eprintln!("the logs are in {}", logs.display());
        }
        Ok(std::fs::remove_dir_all(&self.dir)?)
    }
}

fn environment(servers: &Servers, dir: &Path) -> anyhow::Result<Vec<(&'static str, String)>> {
    let shards: Vec<String> = (1..)
        .zip(servers.postgres())
        .map(|(number, postgres)| format!("shard-{number}={}", postgres.url(DATABASE)))
        .collect();
    let storage = servers.storage();
    Ok(vec![
        ("ENVIRONMENT", "production".to_owned()),
        ("LOG", "warn".to_owned()),
        ("HOST", Ipv4Addr::LOCALHOST.to_string()),
        ("SHARDS", shards.join(",")),
        ("REDIS_URL", servers.redis().url()),
        ("NATS_URL", servers.nats().url()),
        ("S3_ENDPOINT", storage.endpoint()),
        ("S3_BUCKET", BUCKET.to_owned()),
        ("S3_ACCESS_KEY_ID", storage.access_key().to_owned()),
        ("S3_SECRET_ACCESS_KEY", storage.secret_key().to_owned()),
        ("TOKEN_KEY_FILE", fowergram::dev::token_key(dir)?.display().to_string()),
        // Some have many listeners.
        ("MAX_SOCKETS_PER_USER", "1000".to_owned()),
        // Longer than the measurement, so that no token has to be renewed in it.
        ("ACCESS_TOKEN_SECONDS", "3600".to_owned()),
    ])
}

fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
