//! Child processes that end with their parent, and log files whose telling line becomes the error.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{oneshot, watch};

use super::system::{self, Signal};
use super::user::User;

const POLL: Duration = Duration::from_millis(15);
const START_WITHIN: Duration = Duration::from_mins(1);
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// A program and all that it needs to be started, and started again.
pub struct Program {
    /// As it is called in messages.
    pub name: String,
    pub path: PathBuf,
    pub args: Vec<OsString>,
    pub env: Vec<(&'static str, String)>,
    pub user: Option<User>,
    /// A part of its command line that no other process has.
    pub marker: String,
    pub log: PathBuf,
    /// Tells a later launcher what this one may have left behind.
    pub pid_file: PathBuf,
}

/// The command, as the user that it should run as, killed when its parent dies.
///
/// The environment is emptied, so that a `PGHOST` or a locale of the shell changes nothing.
pub fn command(path: &Path, args: &[OsString], env: &[(&str, String)], user: Option<&User>) -> Command {
    let mut command;
    if cfg!(target_os = "linux") {
        command = Command::new("setpriv");
        command.args(["--pdeathsig", "INT"]);
        if let Some(user) = user {
            command.args([format!("--reuid={}", user.uid), format!("--regid={}", user.gid)]);
            command.arg("--init-groups");
        }
        command.arg("--").arg(path);
    } else {
        command = Command::new(path);
    }
    command.args(args).current_dir("/").stdin(Stdio::null()).env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    // Ctrl-C in a terminal reaches a whole process group; the servers are stopped after the app instead.
    command.env("LC_ALL", "C").envs(env.iter().map(|(key, value)| (key, value))).process_group(0);
    command
}

/// Runs a tool to its end; its error is the telling line of what it said.
pub async fn run(mut command: Command, what: &str) -> anyhow::Result<()> {
    let output = tokio::task::spawn_blocking(move || command.output())
        .await?
        .with_context(|| format!("{what} can't be started"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(
        output.status.success(),
        "{what} failed: {}",
        error_line(&said).unwrap_or("no reason given")
    );
    Ok(())
}

/// A server: a program, and its process while it runs. Dropped, it is told to end.
pub struct Child {
    program: Program,
    running: Mutex<Option<Running>>,
}

#[derive(Clone)]
struct Running {
    pid: u32,
    ended: watch::Receiver<bool>,
    /// Where this run's lines begin in the log file.
    log_start: u64,
}

impl Child {
    pub fn new(program: Program) -> Self {
        Self { program, running: Mutex::new(None) }
    }

    pub fn name(&self) -> &str {
        &self.program.name
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.program.log
    }

    /// The process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.current().map(|running| running.pid)
    }

    /// Starts the program unless it runs, and waits until `probe` says that it answers; an error of
    /// `probe` ends the wait.
    pub async fn start<F>(&self, probe: impl Fn() -> F) -> anyhow::Result<()>
    where
        F: Future<Output = anyhow::Result<bool>>,
    {
        let mut running = match self.current() {
            Some(running) => running,
            None => self.spawn().await?,
        };
        let ready = async {
            while !probe().await? {
                tokio::time::sleep(POLL).await;
            }
            anyhow::Ok(())
        };
        let reason = tokio::select! {
            biased;
            _ = running.ended.wait_for(|ended| *ended) => self.last_error(running.log_start),
            ready = ready => match ready {
                Ok(()) => return Ok(()),
                Err(error) => Some(error.to_string()),
            },
            () = tokio::time::sleep(START_WITHIN) => {
                Some(format!("it does not answer after {} s", START_WITHIN.as_secs()))
            }
        };
        self.stop().await;
        anyhow::bail!(
            "{} did not start: {}; see {}",
            self.program.name,
            reason.as_deref().unwrap_or("it ended without a word"),
            self.program.log.display()
        )
    }

    /// Asks it to end and waits; what does not end in 15 s is killed.
    pub async fn stop(&self) {
        if let Some(mut running) = self.current() {
            system::signal(Signal::Interrupt, &[running.pid]);
            system::signal(Signal::Continue, &family(running.pid));
            let ended = running.ended.wait_for(|ended| *ended);
            if tokio::time::timeout(STOP_WITHIN, ended).await.is_err() {
                tracing::warn!(server = self.program.name, "does not end by itself and is killed");
                self.kill().await;
            }
        }
        self.forget();
    }

    /// Kills it and its children, as a power cut would.
    pub async fn kill(&self) {
        if let Some(mut running) = self.current() {
            // Stopped first, so that it can't fork between the list and the kill.
            system::signal(Signal::Stop, &[running.pid]);
            system::signal(Signal::Kill, &family(running.pid));
            // The sender lives in the thread that waits for the process; its end is the end of the process.
            running.ended.wait_for(|ended| *ended).await.ok();
        }
        self.forget();
    }

    pub fn freeze(&self) -> Frozen<'_> {
        if let Some(pid) = self.pid() {
            system::signal(Signal::Stop, &[pid]);
            system::signal(Signal::Stop, &family(pid));
        }
        Frozen(self)
    }

    fn slot(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Option<Running> {
        self.slot().clone().filter(|running| !*running.ended.borrow())
    }

    fn forget(&self) {
        *self.slot() = None;
        std::fs::remove_file(&self.program.pid_file).ok();
    }

    async fn spawn(&self) -> anyhow::Result<Running> {
        let Program { name, path, args, env, user, marker, log, pid_file } = &self.program;
        let mut file = OpenOptions::new().create(true).append(true).open(log)?;
        let log_start = file.seek(SeekFrom::End(0))?;
        let mut command = command(path, args, env, user.as_ref());
        command.stdout(file.try_clone()?).stderr(file);
        let (started, start) = oneshot::channel();
        let (end, ended) = watch::channel(false);
        // Linux sends the parent-death signal when the *thread* that forked ends, so the server gets a
        // thread that lives as long as it does.
        std::thread::Builder::new().name(name.clone()).spawn(move || match command.spawn() {
            Ok(mut child) => {
                started.send(Ok(child.id())).ok();
                child.wait().ok();
                end.send_replace(true);
            }
            Err(error) => {
                started.send(Err(error)).ok();
            }
        })?;
        let pid = start.await?.with_context(|| format!("{name} can't be started"))?;
        std::fs::write(pid_file, format!("{pid}\n{marker}"))?;
        let running = Running { pid, ended, log_start };
        *self.slot() = Some(running.clone());
        Ok(running)
    }

    fn last_error(&self, log_start: u64) -> Option<String> {
        let mut file = std::fs::File::open(&self.program.log).ok()?;
        file.seek(SeekFrom::Start(log_start)).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        error_line(&String::from_utf8_lossy(&bytes)).map(str::to_owned)
    }
}

/// A server whose clock stands still: connections stay open and nothing answers. Dropped, it runs on;
/// a test that fails leaves nothing behind that can't end.
#[must_use = "dropped, the server runs on"]
pub struct Frozen<'a>(&'a Child);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        if let Some(pid) = self.0.pid() {
            system::signal(Signal::Continue, &family(pid));
        }
    }
}

/// A process and its children.
fn family(pid: u32) -> Vec<u32> {
    let mut family = system::children(pid);
    family.push(pid);
    family
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            system::signal(Signal::Interrupt, &[pid]);
            system::signal(Signal::Continue, &family(pid));
        }
    }
}

/// Ends what an earlier launcher of this folder left running, be it on its way out or forgotten.
pub async fn end_leftovers(pid_files: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(pid_files)? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        if let Some((pid, marker)) = text.split_once('\n')
            && let Ok(pid) = pid.parse()
        {
            let runs = || system::command_line(pid).is_some_and(|line| line.contains(marker));
            let ends = async {
                while runs() {
                    tokio::time::sleep(POLL).await;
                }
            };
            if runs() {
                system::signal(Signal::Interrupt, &[pid]);
                system::signal(Signal::Continue, &family(pid));
                if tokio::time::timeout(STOP_WITHIN, ends).await.is_err() {
                    anyhow::bail!("process {pid} is left over from an earlier run and does not end; kill it");
                }
            }
        }
        std::fs::remove_file(&path)?;
    }
    Ok(())
}

/// The last line that tells why a server or a tool gave up, without its timestamp.
fn error_line(log: &str) -> Option<&str> {
    const MARKS: [&str; 8] =
        ["FATAL", "PANIC", "ERROR", "[FTL]", "[ERR]", "nats-server:", "error:", "Failed "];
    let lines = || log.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    lines()
        .find_map(|line| MARKS.iter().find_map(|mark| line.find(mark).map(|at| &line[at..])))
        .or_else(|| lines().next())
}

#[cfg(test)]
mod tests {
    use super::error_line;

    #[test]
    fn the_reason_is_found_in_a_log() {
        let log = "2026-01-01 UTC [7] LOG:  starting\n2026-01-01 UTC [7] FATAL:  could not open file\nbye\n";
        assert_eq!(error_line(log), Some("FATAL:  could not open file"));
        assert_eq!(error_line("one\n\ntwo\n\n"), Some("two"));
        assert_eq!(error_line(""), None);
    }
}
