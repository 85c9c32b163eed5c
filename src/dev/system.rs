//! Other processes of this machine: their command lines, their children, signals to them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a process can be told.
#[derive(Debug, Clone, Copy)]
pub enum Signal {
    /// To end in good order; for `PostgreSQL` without waiting for its clients.
    Interrupt,
    Kill,
    Stop,
    Continue,
}

impl Signal {
    const fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Continue => "CONT",
        }
    }
}

/// Sends a signal; a process that is gone already is no error.
pub fn signal(signal: Signal, pids: &[u32]) {
    // The shell's own `kill`: sending one from Rust takes unsafe code or a crate, and slim images lack the program.
    let status = Command::new("/bin/sh")
        .args(["-c", "for pid; do kill -s \"$0\" \"$pid\"; done", signal.name()])
        .args(pids.iter().map(u32::to_string))
        .stderr(Stdio::null())
        .status();
    if let Err(error) = status {
        tracing::warn!(%error, ?signal, ?pids, "a signal could not be sent");
    }
}

/// The command line of a process, if there is one with this id.
pub fn command_line(pid: u32) -> Option<String> {
    if cfg!(target_os = "linux") {
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
    } else {
        ps(&["-o", "command=", "-p", &pid.to_string()])
    }
}

/// The ids of a process's direct children.
pub fn children(parent: u32) -> Vec<u32> {
    if cfg!(target_os = "linux") {
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        processes
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| parent_of(*pid) == Some(parent))
            .collect()
    } else {
        let pairs = ps(&["-A", "-o", "pid=,ppid="]).unwrap_or_default();
        let pairs = pairs.lines().filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        });
        pairs.filter(|(_, its_parent): &(u32, u32)| *its_parent == parent).map(|(pid, _)| pid).collect()
    }
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything; behind it come the state and the parent.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn ps(args: &[&str]) -> Option<String> {
    let output = Command::new("ps").args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A program in `PATH` or where packages put servers.
pub fn find_program(name: &str) -> anyhow::Result<PathBuf> {
    const ELSEWHERE: [&str; 4] = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(ELSEWHERE.map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| anyhow::anyhow!("{name} is not installed: run scripts/setup.sh dev"))
}

/// The folder of `PostgreSQL`'s programs: that of `PATH`, or the highest version that a package put
/// where packages put it.
pub fn find_postgres() -> anyhow::Result<PathBuf> {
    const PLACES: [(&str, &str); 4] = [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql@"),
        ("/usr/local/opt", "postgresql@"),
    ];
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find_map(|folder| complete(&folder))
        .or_else(|| {
            let installed = PLACES.iter().flat_map(|(place, prefix)| versions(Path::new(place), prefix));
            installed.filter_map(|(version, bin)| Some((version, complete(&bin)?))).max().map(|(_, bin)| bin)
        })
        .ok_or_else(|| anyhow::anyhow!("PostgreSQL's server is not installed: run scripts/setup.sh dev"))
}

/// The folder that `folder/postgres` really lies in, if the other programs lie there too: a folder of
/// `PATH` may hold links to only some of them.
fn complete(folder: &Path) -> Option<PathBuf> {
    let bin = folder.join("postgres").canonicalize().ok()?.parent()?.to_owned();
    ["initdb", "pg_basebackup"].iter().all(|name| bin.join(name).is_file()).then_some(bin)
}

fn versions(place: &Path, prefix: &str) -> Vec<(u32, PathBuf)> {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect()
}
