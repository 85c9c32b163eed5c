//! How long a message takes from one API process to a subscriber of the other.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::api::{Api, text};
use crate::load::{histogram, nanoseconds};
use crate::population::Viewer;
use crate::socket::Socket;

const SEND: &str = "mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { id } conversation { id } } }";
const SUBSCRIBE: &str = "subscription($id: ID!) { messageAdded(conversationId: $id) { cursor ... on MessageEvent { message { id text } } } }";
/// Sent before the clock counts: the first ones fill caches and open connections.
const WARM_UP: usize = 10;
const WITHIN: Duration = Duration::from_secs(10);
/// Nothing tells when a subscription has begun.
const BEGINS_WITHIN: Duration = Duration::from_millis(300);

/// Times in nanoseconds.
pub struct Live {
    /// From just before the mutation is sent until the event is there.
    pub from_request: Histogram<u64>,
    /// From the mutation's answer until the event is there; 0 where the event was first.
    pub from_answer: Histogram<u64>,
}

/// Sends messages one after the other through `through` to a subscriber at `at`.
pub async fn measure(
    at: SocketAddr,
    through: SocketAddr,
    reader: &Viewer,
    writer: &Viewer,
    count: usize,
) -> anyhow::Result<Live> {
    let mut api = Api::connect(through, Some(&writer.token)).await?;
    let first = send(&mut api, json!({ "userId": reader.id }), "Hello").await?;
    let conversation = text(&first, "/sendMessage/conversation/id")?;
    let mut socket = Socket::open(at, &reader.token).await?;
    socket.subscribe(SUBSCRIBE, &json!({ "id": conversation })).await?;
    tokio::time::sleep(BEGINS_WITHIN).await;
    let mut live = Live { from_request: histogram()?, from_answer: histogram()? };
    for number in 0..WARM_UP + count {
        let words = format!("message {number}");
        let begin = Instant::now();
        let sent = async {
            send(&mut api, json!({ "conversationId": conversation }), &words).await?;
            anyhow::Ok(Instant::now())
        };
        let received = async {
            arrival(&mut socket, &words).await?;
            anyhow::Ok(Instant::now())
        };
        let (answered, arrived) = tokio::time::timeout(WITHIN, async { tokio::try_join!(sent, received) })
            .await
            .with_context(|| format!("{words} did not arrive"))??;
        if number >= WARM_UP {
            live.from_request.saturating_record(nanoseconds(arrived - begin));
            live.from_answer.saturating_record(nanoseconds(arrived.saturating_duration_since(answered)));
        }
    }
    Ok(live)
}

/// Sends a message; the answer's data.
pub async fn send(api: &mut Api, to: Value, words: &str) -> anyhow::Result<Value> {
    let key = uuid::Uuid::new_v4().to_string();
    api.call(SEND, json!({ "input": { "idempotencyKey": key, "to": to, "text": words } })).await
}

async fn arrival(socket: &mut Socket, words: &str) -> anyhow::Result<()> {
    loop {
        let event = socket.next().await?;
        match event["type"].as_str() {
            Some("next") if event["payload"].get("errors").is_none() => {
                if event.pointer("/payload/data/messageAdded/message/text").and_then(Value::as_str)
                    == Some(words)
                {
                    return Ok(());
                }
            }
            Some("ping") => socket.say(&json!({ "type": "pong" })).await?,
            Some("pong") => {}
            _ => anyhow::bail!("the subscription says {event}"),
        }
    }
}
