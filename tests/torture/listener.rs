//! Who listens: half of them here, half in a process of Node.js with the clients that people use.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, sleep, sleep_until};

use super::SEED;
use super::ledger::Ledger;
use crate::harness::client::{Person, Socket};

const STREAM: &str = "subscription ($id: ID!, $after: Cursor) {
    messageAdded(conversationId: $id, after: $after) { __typename cursor
        ... on MessageEvent { change message { id seq text isDeleted reactions { emoji count } } } } }";

/// Where the Node.js program and its packages are.
pub const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/torture");

/// A subscription to one conversation.
#[derive(Clone)]
pub struct Listener {
    /// The same person at both processes.
    pub at: [Person; 2],
    pub conversation: String,
    pub ledger: Arc<Ledger>,
}

impl Listener {
    /// Listens for good, through sockets of its own that it cuts at random.
    pub async fn listen(self, number: usize) {
        let mut random = StdRng::seed_from_u64(SEED + 1000 + number as u64);
        for turn in number.. {
            if let Some(socket) = self.at[turn % 2].client.reach().await {
                let life = Duration::from_millis(random.random_range(200..4000));
                self.hear(socket, Instant::now() + life).await;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Hears events until the socket ends, or this is the time to cut it.
    async fn hear(&self, mut socket: Socket, end: Instant) {
        let variables = json!({ "id": self.conversation, "after": self.ledger.cursor() });
        if socket.try_subscribe(STREAM, variables).await.is_err() {
            return;
        }
        loop {
            let message = tokio::select! {
                // What has come is heard first: it is not told again.
                biased;
                message = socket.receive() => message,
                () = sleep_until(end) => break,
            };
            let Ok(message) = message else { return };
            let payload = &message["payload"];
            let errors = if message["type"] == "error" { payload } else { &payload["errors"] };
            if !errors.is_null() {
                for error in errors.as_array().expect("errors") {
                    let code = error["extensions"]["code"].as_str();
                    assert!(
                        code.is_some_and(|code| ["SHARD_UNAVAILABLE", "TIMEOUT"].contains(&code)),
                        "{message}"
                    );
                }
                return;
            }
            assert_eq!(message["type"], "next", "{message}");
            self.ledger.note(&payload["data"]["messageAdded"]);
        }
        socket.cut();
    }
}

/// Listeners that are clients of graphql-ws, in one process.
pub struct Node {
    _child: Child,
    orders: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    listeners: Vec<Listener>,
}

impl Node {
    pub async fn start(listeners: Vec<Listener>) -> Self {
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
            let client = &listener.at[0].client;
            let urls = listener.at.each_ref().map(|at| format!("ws://{}/graphql/ws", at.client.address));
            node.order(json!({
                "open": number,
                "urls": urls,
                "authorization": client.authorization(),
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
