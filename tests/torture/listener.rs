//! Those listeners who use the clients that people use, in a process of Node.js.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, sleep_until};

use crate::harness::crowd::{Listener, SEED, STREAM};

/// Where the Node.js program and its packages are.
pub const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/torture");

/// Listeners that are clients of graphql-ws, in one process.
pub struct Node {
    _child: Child,
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    listeners: Vec<Listener>,
}

impl Node {
    pub async fn start(listeners: Vec<Listener>, apis: [SocketAddr; 2]) -> Self {
        let missing = "run scripts/setup.sh test: this test needs Node.js and the packages of tests/torture";
        assert!(Path::new(FOLDER).join("node_modules/graphql-ws").exists(), "{missing}");
        let mut child = Command::new("node")
            .arg("client.mjs")
            .current_dir(FOLDER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{error}: {missing}"));
        let orders = child.stdin.take().expect("piped");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut node = Self { _child: child, orders, lines, listeners };
        for (number, listener) in node.listeners.clone().into_iter().enumerate() {
            let urls = apis.map(|address| format!("ws://{address}/graphql/ws"));
            node.order(json!({
                "open": number,
                "urls": urls,
                "authorization": listener.person.client.authorization(),
                "query": STREAM,
                "variables": { "id": listener.conversation },
            }))
            .await;
        }
        node
    }

    async fn order(&mut self, order: Value) {
        self.orders.write_all(format!("{order}\n").as_bytes()).await.expect("the clients run");
    }

    /// Notes what they hear, and cuts one after the other.
    pub async fn listen(mut self) {
        let mut random = StdRng::seed_from_u64(SEED + 2000);
        let mut cut = Instant::now();
        loop {
            tokio::select! {
                line = self.lines.next_line() => {
                    let line = line.expect("the clients' words").expect("the clients run on");
                    let said: Value = serde_json::from_str(&line).expect("JSON");
                    assert!(said["fault"].is_null(), "{said}");
                    let number = usize::try_from(said["listener"].as_u64().expect("a number"));
                    self.listeners[number.expect("small")].ledger.note(&said["event"]);
                }
                () = sleep_until(cut) => {
                    cut += Duration::from_millis(random.random_range(50..150));
                    let number = random.random_range(0..self.listeners.len());
                    self.order(json!({ "cut": number })).await;
                }
            }
        }
    }
}
