//! The measure: `pgbench` on the same servers, in databases of its own, with rows as wide as the
//! program's and as many clients.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use fowergram::dev::{Servers, find_postgres};

const DATABASE: &str = "baseline";

/// `pgbench`, with its tables made.
pub struct Pgbench {
    program: PathBuf,
    urls: Vec<String>,
    select: PathBuf,
    transaction: PathBuf,
    clients: usize,
}

/// What pgbench does over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// One row of a person by primary key.
    Select,
    /// What createPost writes: its idempotency record, the image's use, the post, the author's count, the event.
    Transaction,
}

impl Pgbench {
    /// Makes a database on each server and spreads as many people over them as the program has.
    pub async fn prepare(
        servers: &Servers,
        dir: &Path,
        people: usize,
        clients: usize,
    ) -> anyhow::Result<Self> {
        let program = find_postgres()?.join("pgbench");
        anyhow::ensure!(program.is_file(), "{} is not there", program.display());
        let count = servers.postgres().len();
        let people = people.div_ceil(count).max(clients);
        let tables = include_str!("pgbench/tables.sql").replace(":people", &people.to_string());
        let mut urls = Vec::new();
        for postgres in servers.postgres() {
            postgres.create_database(DATABASE).await?;
            postgres.execute(DATABASE, &tables).await?;
            urls.push(postgres.url(DATABASE));
        }
        let script = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
            let file = dir.join(name);
            std::fs::write(&file, text.replace(":people", &people.to_string()))?;
            Ok(file)
        };
        Ok(Self {
            program,
            urls,
            select: script("select.sql", include_str!("pgbench/select.sql"))?,
            transaction: script("transaction.sql", include_str!("pgbench/transaction.sql"))?,
            clients: clients.div_ceil(count),
        })
    }

    /// Runs a script on all servers at once; transactions a second, in all.
    pub async fn run(&self, script: Script, time: Duration) -> anyhow::Result<f64> {
        let file = match script {
            Script::Select => &self.select,
            Script::Transaction => &self.transaction,
        };
        let runs = self.urls.iter().map(|url| self.run_on(url, file, time));
        Ok(futures_util::future::try_join_all(runs).await?.into_iter().sum())
    }

    async fn run_on(&self, url: &str, file: &Path, time: Duration) -> anyhow::Result<f64> {
        let output = tokio::process::Command::new(&self.program)
            .args(["--no-vacuum", "--protocol=prepared", "--jobs=1"])
            .arg(format!("--client={}", self.clients))
            .arg(format!("--time={}", time.as_secs().max(1)))
            .arg("--file")
            .arg(file)
            .arg(url)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("pgbench can't be started")?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "pgbench: {}", said.lines().last().unwrap_or_default());
        rate(&String::from_utf8_lossy(&output.stdout)).context("pgbench does not tell its rate")
    }
}

fn rate(output: &str) -> Option<f64> {
    output.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_rate_is_found() {
        let output = "latency average = 0.5 ms\ntps = 7997.4 (without initial connection time)\n";
        assert_eq!(super::rate(output), Some(7997.4));
        assert_eq!(super::rate("pgbench (15)"), None);
    }
}
