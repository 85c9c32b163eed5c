//! What the operating system tells: memory and work of a process, and what machine it is. Only Linux
//! tells of processes; elsewhere those figures are left out.

use std::process::Command;
use std::time::{Duration, Instant};

use fowergram::dev::find_postgres;

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// All pages that it has in memory.
    pub rss: u64,
    /// The same, where a page that is shared with others counts by its share.
    pub pss: u64,
}

impl Memory {
    pub fn of(pid: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
        let bytes = |name: &str| -> Option<u64> {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
        };
        Some(Self { rss: bytes("Rss:")?, pss: bytes("Pss:")? })
    }

    fn max(self, other: Self) -> Self {
        Self { rss: self.rss.max(other.rss), pss: self.pss.max(other.pss) }
    }
}

/// The most memory that a process was seen with while `work` was done.
pub async fn watch<T>(pid: u32, most: &mut Option<Memory>, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        let now = Memory::of(pid);
        *most = most.zip(now).map(|(one, other)| one.max(other)).or(now).or(*most);
        // Not more often: each look walks the process's pages.
        if let Ok(done) = tokio::time::timeout(Duration::from_millis(500), &mut work).await {
            return done;
        }
    }
}

/// Waits until the processes have nothing to do any more, as when events are worked off; 30 s at most.
pub async fn settle(pids: &[u32]) {
    const LOOK: Duration = Duration::from_millis(500);
    let begin = Instant::now();
    let mut before = cpu_time(pids);
    while begin.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(LOOK).await;
        let now = cpu_time(pids);
        // Less than 8 % of one core.
        if now.saturating_sub(before) < LOOK / 12 {
            return;
        }
        before = now;
    }
    eprintln!("the system still works on what was written; the next figures suffer from it");
}

/// How long the processes have worked, in their own code and in the system's.
pub fn cpu_time(pids: &[u32]) -> Duration {
    // What Linux counts in; the same on every architecture that has servers.
    const TICK: Duration = Duration::from_millis(10);
    let one = |pid: &u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in brackets, may hold anything; user and system time are the 12th and 13th behind it.
        let mut times = stat.rsplit_once(')')?.1.split_whitespace().skip(11).map(str::parse::<u32>);
        Some(times.next()?.ok()? + times.next()?.ok()?)
    };
    TICK * pids.iter().filter_map(one).sum()
}

/// The machine and the versions, in one line.
pub fn describe() -> anyhow::Result<String> {
    let cores = std::thread::available_parallelism()?;
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or(std::env::consts::ARCH, |(_, model)| model.trim());
    let postgres = said(&mut Command::new(find_postgres()?.join("postgres")), &["--version"]);
    let postgres =
        postgres.as_deref().and_then(|line| line.split_whitespace().nth(2)).unwrap_or("?").to_owned();
    let commit = said(&mut Command::new("git"), &["describe", "--always", "--dirty"]);
    let commit = commit.as_deref().unwrap_or("unknown");
    Ok(format!("{cores} cores ({model}), PostgreSQL {postgres}, commit {commit}"))
}

fn said(command: &mut Command, args: &[&str]) -> Option<String> {
    let output = command.args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_seen() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.pss > 0 && memory.pss <= memory.rss);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        assert!(cpu_time(&[std::process::id()]) > Duration::ZERO);
    }
}
