//! Sockets that listen beside the clients, as open apps do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rand::RngExt as _;
use serde_json::{Value, json};

use crate::socket::Socket;
use crate::stack::Stack;

const EVENTS: &str = "subscription($after: Cursor) { viewerEvents(after: $after) { cursor } }";

/// What all listeners came to.
#[derive(Default)]
pub struct Heard {
    events: AtomicU64,
    open: AtomicUsize,
}

impl Heard {
    /// The events since the last call.
    pub fn take_events(&self) -> u64 {
        self.events.swap(0, Ordering::Relaxed)
    }

    /// How many sockets are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// A socket that is opened again, where its last event left off, whenever it ends.
pub struct Listener {
    apis: [SocketAddr; 2],
    turn: usize,
    token: String,
    after: Value,
    heard: Arc<Heard>,
}

impl Listener {
    pub fn new(number: usize, stack: &Stack, token: &str, heard: &Arc<Heard>) -> Self {
        let (token, heard) = (token.to_owned(), Arc::clone(heard));
        Self { apis: [stack.api(0), stack.api(1)], turn: number, token, after: Value::Null, heard }
    }

    /// Opens the socket and subscribes.
    pub async fn open(&mut self) -> anyhow::Result<Socket> {
        self.turn += 1;
        let mut socket = Socket::open(self.apis[self.turn % 2], &self.token).await?;
        socket.subscribe(EVENTS, &json!({ "after": self.after })).await?;
        Ok(socket)
    }

    /// Listens until it is aborted.
    pub async fn run(mut self, first: Socket) {
        let mut socket = Some(first);
        loop {
            if let Some(socket) = socket {
                self.heard.open.fetch_add(1, Ordering::Relaxed);
                // However it ended, it is opened again.
                let _ = self.listen(socket).await;
                self.heard.open.fetch_sub(1, Ordering::Relaxed);
            }
            let pause = Duration::from_millis(rand::rng().random_range(200..1_000));
            tokio::time::sleep(pause).await;
            socket = self.open().await.ok();
        }
    }

    async fn listen(&mut self, mut socket: Socket) -> anyhow::Result<()> {
        loop {
            let message = socket.next().await?;
            match message["type"].as_str() {
                Some("next") => {
                    self.heard.events.fetch_add(1, Ordering::Relaxed);
                    self.after = message["payload"]["data"]["viewerEvents"]["cursor"].clone();
                }
                Some("ping") => socket.say(&json!({ "type": "pong" })).await?,
                Some("error" | "complete") => anyhow::bail!("the subscription ended: {message}"),
                _ => {}
            }
        }
    }
}
