//! The real binary, as an operator starts it: an empty environment, and no `.env` file near it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};

use super::client::text;
use super::server::free_port;
use super::{PATIENCE, PATIENT, World, eventually};

const BINARY: &str = env!("CARGO_BIN_EXE_fowergram");

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub output: String,
    /// The lines of standard error.
    pub told: Vec<String>,
}

/// A program of fowergram.
#[derive(Clone)]
pub struct Program(PathBuf);

impl Program {
    /// That of these sources.
    pub fn this() -> Self {
        Self(BINARY.into())
    }

    /// That of the release before, as `scripts/previous.sh` builds it; without it, that of these sources.
    pub fn previous() -> Self {
        match std::env::var_os("FOWERGRAM_PREVIOUS") {
            Some(path) if !path.is_empty() => Self(path.into()),
            _ => {
                eprintln!(
                    "FOWERGRAM_PREVIOUS is not set: the program of these sources stands in for the one before"
                );
                Self::this()
            }
        }
    }

    /// Runs a command that ends by itself.
    pub async fn run(&self, arguments: &[&str], settings: &[String]) -> Ended {
        let folder = tempfile::tempdir().expect("a folder");
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut command = command(self, &arguments, folder.path());
        end_of(PATIENCE, command.envs(variables(settings))).await
    }

    /// Starts a command that goes on. It does not mind settings that it does not know.
    pub fn start(&self, name: &str, settings: &[String]) -> Running {
        Running::spawn(self, &[name.to_owned()], variables(settings))
    }
}

/// Settings as environment variables: `--redis-url=…` is `REDIS_URL`.
fn variables(settings: &[String]) -> impl Iterator<Item = (String, String)> {
    settings.iter().map(|setting| {
        let (name, value) = setting.split_once('=').expect("a value");
        (name.trim_start_matches('-').replace('-', "_").to_uppercase(), value.to_owned())
    })
}

fn command(program: &Program, arguments: &[String], folder: &Path) -> Command {
    let mut command = Command::new(&program.0);
    command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// Runs a command that ends by itself.
pub async fn run(arguments: &[String], environment: &[(&str, &str)]) -> Ended {
    run_within(PATIENCE, arguments, environment).await
}

/// The same for one that takes its time.
pub async fn run_within(patience: Duration, arguments: &[String], environment: &[(&str, &str)]) -> Ended {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = command(&Program::this(), arguments, folder.path());
    end_of(patience, command.envs(environment.iter().copied())).await
}

/// The same in a folder.
pub async fn run_in(folder: &Path, arguments: &[String], environment: &[(&str, &str)]) -> Ended {
    let mut command = command(&Program::this(), arguments, folder);
    end_of(PATIENCE, command.envs(environment.iter().copied())).await
}

/// The same with its output led elsewhere.
pub async fn run_into(output: Stdio, arguments: &[String]) -> Ended {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = command(&Program::this(), arguments, folder.path());
    let child = command.stdout(output).stderr(Stdio::piped()).spawn().expect("it starts");
    // The command keeps an end of what its output is led to.
    drop(command);
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("it ends");
    let ended = ended.expect("it runs");
    let told = String::from_utf8(ended.stderr).expect("UTF-8");
    Ended {
        code: ended.status.code(),
        output: String::new(),
        told: told.lines().map(str::to_owned).collect(),
    }
}

async fn end_of(patience: Duration, command: &mut Command) -> Ended {
    let output = tokio::time::timeout(patience, command.output()).await.expect("it ends").expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ended {
        code: output.status.code(),
        output: text(output.stdout),
        told: text(output.stderr).lines().map(str::to_owned).collect(),
    }
}

/// A command that goes on until it is stopped; dropped, it is killed.
pub struct Running {
    child: Child,
    folder: tempfile::TempDir,
}

impl Running {
    pub fn start(name: &str, settings: &[String]) -> Self {
        Self::start_in(name, settings, &[])
    }

    fn start_in(name: &str, settings: &[String], environment: &[(&str, String)]) -> Self {
        let arguments: Vec<String> =
            std::iter::once(name.to_owned()).chain(settings.iter().cloned()).collect();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Self::spawn(&Program::this(), &arguments, environment)
    }

    fn spawn(
        program: &Program,
        arguments: &[String],
        environment: impl Iterator<Item = (String, String)>,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let log = std::fs::File::create(folder.path().join("log")).expect("a file");
        let mut command = command(program, arguments, folder.path());
        let child = command.envs(environment).stdout(Stdio::null()).stderr(log).spawn().expect("it starts");
        Self { child, folder }
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// A process that serves, and its address.
    pub async fn serve(settings: &[String]) -> (Self, SocketAddr) {
        Self::serve_in(settings, &[]).await
    }

    /// The same in an environment.
    pub async fn serve_in(settings: &[String], environment: &[(&str, String)]) -> (Self, SocketAddr) {
        let running = Self::start_in("serve", settings, environment);
        let address = running.serving().await;
        (running, address)
    }

    /// Waits until it serves; its address.
    pub async fn serving(&self) -> SocketAddr {
        text(&self.logged("serving").await["address"]).parse().expect("an address")
    }

    /// Waits for the log line with this message.
    pub async fn logged(&self, message: &str) -> Value {
        eventually(message, async || self.log().into_iter().find(|line| line["message"] == message)).await
    }

    /// The lines that it has logged.
    pub fn log(&self) -> Vec<Value> {
        self.text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// All that it has written.
    pub fn text(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).expect("a log")
    }

    /// As a supervisor does.
    pub async fn terminate(&self) {
        let told = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status().await;
        assert!(told.expect("kill runs").success());
    }

    /// The most memory that it has held, in bytes; none of one that has ended.
    #[cfg(target_os = "linux")]
    pub fn high_water(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    }

    /// As a power cut does.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it is killed");
    }

    pub async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends").expect("a status")
    }
}

/// An API process at an address that stays, whichever process serves there.
pub struct Api {
    pub address: SocketAddr,
    settings: Vec<String>,
    pub running: Running,
}

impl Api {
    /// Starts it in a world, with time-outs that no busy machine reaches, and some settings replaced.
    pub async fn start(world: &World, program: &Program, changes: &[&str]) -> Self {
        let port = format!("--port={}", free_port());
        let settings = world.settings_with(&[&[port.as_str()], &PATIENT[..], changes].concat());
        let running = program.start("serve", &settings);
        Self { address: running.serving().await, settings, running }
    }

    /// Starts one in its place, with some settings replaced.
    pub async fn start_again(&mut self, program: &Program, changes: &[&str]) {
        super::replace(&mut self.settings, changes);
        self.running = program.start("serve", &self.settings);
        self.running.serving().await;
    }

    /// Ends it in good order.
    pub async fn terminate(&mut self) {
        self.running.terminate().await;
        let ended = self.running.ended().await;
        assert!(ended.success(), "{ended}: {}", self.running.text());
    }
}
