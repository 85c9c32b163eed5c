//! NATS with `JetStream`, its store in the folder.

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;

use super::home::Home;
use super::process::{Child, Frozen, Program};
use super::system::find_program;

/// A NATS server.
pub struct Nats {
    child: Child,
    port: u16,
}

impl Nats {
    pub(super) fn new(home: &Home, port: u16, durable: bool) -> anyhow::Result<Self> {
        let path = find_program("nats-server")?;
        let store = home.folder("nats")?;
        let sync = if durable && knows_sync_interval(&path)? { "sync_interval: always" } else { "" };
        let config = home.dir().join("nats.conf");
        std::fs::write(
            &config,
            format!(
                "listen: \"127.0.0.1:{port}\"\nmax_payload: 1MB\njetstream {{\n  store_dir: {}\n  {sync}\n}}\n",
                serde_json::Value::from(store.to_string_lossy())
            ),
        )?;
        let child = Child::new(Program {
            name: "NATS".to_owned(),
            path,
            args: vec!["-c".into(), config.clone().into()],
            env: Vec::new(),
            user: None,
            marker: config.to_string_lossy().into_owned(),
            log: home.log("nats"),
            pid_file: home.pid_file("nats"),
        });
        Ok(Self { child, port })
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it (again, on its port and with its store) and waits until it greets.
    pub async fn start(&self) -> anyhow::Result<()> {
        self.child.start(|| async { Ok(self.greets().await.unwrap_or(false)) }).await
    }

    pub async fn stop(&self) {
        self.child.stop().await;
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.pid()
    }

    /// Kills it, as a power cut would.
    pub async fn kill(&self) {
        self.child.kill().await;
    }

    /// Stops its clock, until the answer is dropped: connections stay open and nothing answers.
    pub fn freeze(&self) -> Frozen<'_> {
        self.child.freeze()
    }

    async fn greets(&self) -> std::io::Result<bool> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await?;
        Ok(line.starts_with("INFO "))
    }
}

/// Servers before 2.10 refuse a configuration with the setting, and sync every two minutes. No event
/// is lost by it: they stand in the outbox of their shard until they are handled.
fn knows_sync_interval(path: &Path) -> anyhow::Result<bool> {
    let output = Command::new(path).arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "nats-server: v2.9.10"
    let version = text.rsplit_once('v').map(|(_, version)| version.trim().split('.').map(str::parse));
    let mut numbers = version.context("nats-server does not tell its version")?;
    let (major, minor): (u32, u32) = match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => anyhow::bail!("nats-server does not tell its version"),
    };
    Ok((major, minor) >= (2, 10))
}
