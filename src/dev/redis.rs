//! Redis without persistence: feeds are made anew from the shards.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::home::Home;
use super::process::{Child, Frozen, Program};
use super::system::find_program;

/// A Redis server.
pub struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    pub(super) fn new(home: &Home, port: u16) -> anyhow::Result<Self> {
        let folder = home.folder("redis")?;
        let port_text = port.to_string();
        let args = [
            ["--bind", "127.0.0.1"],
            ["--port", &port_text],
            ["--save", ""],
            ["--appendonly", "no"],
            ["--daemonize", "no"],
            ["--maxmemory", "256mb"],
            ["--maxmemory-policy", "allkeys-lru"],
        ];
        let mut args: Vec<_> = args.into_iter().flatten().map(Into::into).collect();
        args.extend(["--dir".into(), folder.into()]);
        let child = Child::new(Program {
            name: "Redis".to_owned(),
            path: find_program("redis-server")?,
            args,
            env: Vec::new(),
            user: None,
            // Redis replaces its command line with this.
            marker: format!("redis-server 127.0.0.1:{port}"),
            log: home.log("redis"),
            pid_file: home.pid_file("redis"),
        });
        Ok(Self { child, port })
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it (again, on its port) and waits until it answers; it comes back empty.
    pub async fn start(&self) -> anyhow::Result<()> {
        self.child.start(|| async { Ok(self.answers().await.unwrap_or(false)) }).await
    }

    pub async fn stop(&self) {
        self.child.stop().await;
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.pid()
    }

    /// Stops its clock, until the answer is dropped: connections stay open and nothing answers.
    pub fn freeze(&self) -> Frozen<'_> {
        self.child.freeze()
    }

    async fn answers(&self) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await?;
        Ok(&answer == b"+PONG")
    }
}
