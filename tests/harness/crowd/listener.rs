//! Who listens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until};

use super::SEED;
use super::ledger::{Ledger, STREAM};
use crate::harness::client::{Person, Socket};

/// A subscription to one conversation.
#[derive(Clone)]
pub struct Listener {
    pub person: Person,
    pub conversation: String,
    pub ledger: Arc<Ledger>,
}

impl Listener {
    /// Listens for good, to processes that break, through sockets of its own that it cuts at random.
    pub async fn listen(self, apis: [SocketAddr; 2], number: usize) {
        let mut random = StdRng::seed_from_u64(SEED + 1000 + number as u64);
        for turn in number.. {
            if let Some(socket) = self.person.at(apis[turn % 2]).client.reach().await {
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
            match message["type"].as_str() {
                Some("next") => self.ledger.note(&payload["data"]["messageAdded"]),
                // Only of a process that is stopping, which closes the socket then.
                Some("complete") => return assert_eq!(socket.receive().await, Err(1001)),
                _ => panic!("{message}"),
            }
        }
        socket.cut();
    }
}
