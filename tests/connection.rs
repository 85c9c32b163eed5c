//! Credentials and TLS, each against a real server that demands it; and what is said of what is wrong.

mod certificates;
mod nats;
mod postgres;
mod redis;
mod secrets;
mod storage;

use std::net::SocketAddr;

use serde_json::Value;

use crate::harness::client::Client;
use crate::harness::eventually;

/// What `/ready` says of this part, once it says it.
async fn until_said(address: SocketAddr, part: &str, said: Option<&str>) {
    let client = Client::new(address);
    eventually(&format!("{part}: {said:?}"), async || {
        let (_, answer) = client.ready().await;
        let parts = answer["parts"].as_array().cloned().unwrap_or_default();
        let found: Value = parts.into_iter().find(|found| found["name"] == part)?;
        (found["healthy"] == said.is_none() && found["detail"].as_str() == said).then_some(())
    })
    .await;
}
