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
    /// The folder of the scripts.
    dir: PathBuf,
    clients: usize,
}

/// What pgbench does over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Script {
    /// One row of a person by primary key.
    Select,
    /// What createPost writes: its idempotency record, the image's use, the post, the author's count, the event.
    CreatePost,
    /// Its idempotency record, the post's counters, the comment, the event.
    CreateComment,
    /// Its idempotency record, the conversation's counters, under its lock, the message, the sender's place, the
    /// event; and reads the members.
    SendMessage,
    /// The edge, the post's count, the event.
    LikePost,
    /// The edge, the person's count, the event.
    FollowUser,
}

impl Script {
    const ALL: [Self; 6] = [
        Self::Select,
        Self::CreatePost,
        Self::CreateComment,
        Self::SendMessage,
        Self::LikePost,
        Self::FollowUser,
    ];

    /// As reports and files call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::CreatePost => "createPost",
            Self::CreateComment => "createComment",
            Self::SendMessage => "sendMessage",
            Self::LikePost => "likePost",
            Self::FollowUser => "followUser",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Select => include_str!("pgbench/select.sql"),
            Self::CreatePost => include_str!("pgbench/create-post.sql"),
            Self::CreateComment => include_str!("pgbench/create-comment.sql"),
            Self::SendMessage => include_str!("pgbench/send-message.sql"),
            Self::LikePost => include_str!("pgbench/like-post.sql"),
            Self::FollowUser => include_str!("pgbench/follow-user.sql"),
        }
    }

    fn file(self, dir: &Path) -> PathBuf {
        dir.join(self.name()).with_extension("sql")
    }
}

/// How many rows of what there is, on all servers together.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    pub people: usize,
    pub posts: usize,
}

impl Pgbench {
    /// Makes a database on each server and spreads as many people and posts over them as the program has.
    pub async fn prepare(servers: &Servers, dir: &Path, rows: Rows, clients: usize) -> anyhow::Result<Self> {
        let program = find_postgres()?.join("pgbench");
        anyhow::ensure!(program.is_file(), "{} is not there", program.display());
        let count = servers.postgres().len();
        let people = rows.people.div_ceil(count).max(clients).to_string();
        let posts = rows.posts.div_ceil(count).to_string();
        let sized = |text: &str| text.replace(":people", &people).replace(":posts", &posts);
        let tables = sized(include_str!("pgbench/tables.sql"));
        let mut urls = Vec::new();
        for postgres in servers.postgres() {
            postgres.create_database(DATABASE).await?;
            postgres.execute(DATABASE, &tables).await?;
            urls.push(postgres.url(DATABASE));
        }
        for script in Script::ALL {
            std::fs::write(script.file(dir), sized(script.text()))?;
        }
        Ok(Self { program, urls, dir: dir.to_owned(), clients: clients.div_ceil(count) })
    }

    /// Runs a script on all servers at once; transactions a second, in all.
    pub async fn run(&self, script: Script, time: Duration) -> anyhow::Result<f64> {
        let file = script.file(&self.dir);
        let runs = self.urls.iter().map(|url| self.run_on(url, &file, time));
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
    use fowergram::dev::Plan;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn each_script_runs() {
        let dir = std::env::temp_dir().join(format!("fowergram-pgbench-{}", std::process::id()));
        let plan = Plan { dir: dir.clone(), clusters: 1, replica: false, durable: false, first_port: None };
        let servers = Servers::start(&plan, |_| ()).await.unwrap();
        let pgbench = Pgbench::prepare(&servers, &dir, Rows { people: 10, posts: 10 }, 4).await.unwrap();
        for script in Script::ALL {
            let rate = pgbench.run(script, Duration::from_secs(1)).await;
            assert!(rate.as_ref().is_ok_and(|rate| *rate > 0.0), "{script:?}: {rate:?}");
        }
        servers.stop().await;
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_rate_is_found() {
        let output = "latency average = 0.5 ms\ntps = 7997.4 (without initial connection time)\n";
        assert_eq!(rate(output), Some(7997.4));
        assert_eq!(rate("pgbench (15)"), None);
    }
}
