//! How long a message takes from one API process to a subscriber of the other.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::api::{Api, text};
use crate::load::{histogram, nanoseconds};
use crate::population::Viewer;

const SEND: &str = "mutation($input: SendMessageInput!) { sendMessage(input: $input) { message { id } conversation { id } } }";
const SUBSCRIBE: &str = "subscription($id: ID!) { messageAdded(conversationId: $id) { cursor ... on MessageEvent { message { id text } } } }";
/// Sent before the clock counts: the first ones fill caches and open connections.
const WARM_UP: usize = 10;
const WITHIN: Duration = Duration::from_secs(10);

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
    let mut socket = subscribe(at, reader, &conversation).await?;
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

async fn send(api: &mut Api, to: Value, words: &str) -> anyhow::Result<Value> {
    let key = uuid::Uuid::new_v4().to_string();
    api.call(SEND, json!({ "input": { "idempotencyKey": key, "to": to, "text": words } })).await
}

async fn subscribe(
    at: SocketAddr,
    reader: &Viewer,
    conversation: &str,
) -> anyhow::Result<WebSocketStream<TcpStream>> {
    let stream = TcpStream::connect(at).await?;
    stream.set_nodelay(true)?;
    let mut request = format!("ws://{at}/graphql/ws").into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("graphql-transport-ws"));
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await?;
    let token = format!("Bearer {}", reader.token);
    say(&mut socket, &json!({ "type": "connection_init", "payload": { "authorization": token } })).await?;
    let answer = next(&mut socket).await?;
    anyhow::ensure!(answer["type"] == "connection_ack", "not acknowledged: {answer}");
    let payload = json!({ "query": SUBSCRIBE, "variables": { "id": conversation } });
    say(&mut socket, &json!({ "id": "1", "type": "subscribe", "payload": payload })).await?;
    // Nothing tells when a subscription has begun; a ping's answer comes after it was read.
    say(&mut socket, &json!({ "type": "ping" })).await?;
    while next(&mut socket).await?["type"] != "pong" {}
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(socket)
}

async fn arrival(socket: &mut WebSocketStream<TcpStream>, words: &str) -> anyhow::Result<()> {
    loop {
        let event = next(socket).await?;
        match event["type"].as_str() {
            Some("next") if event["payload"].get("errors").is_none() => {
                if event.pointer("/payload/data/messageAdded/message/text").and_then(Value::as_str)
                    == Some(words)
                {
                    return Ok(());
                }
            }
            Some("ping") => say(socket, &json!({ "type": "pong" })).await?,
            Some("pong") => {}
            _ => anyhow::bail!("the subscription says {event}"),
        }
    }
}

async fn say(socket: &mut WebSocketStream<TcpStream>, message: &Value) -> anyhow::Result<()> {
    Ok(socket.send(Message::text(message.to_string())).await?)
}

async fn next(socket: &mut WebSocketStream<TcpStream>) -> anyhow::Result<Value> {
    loop {
        match socket.next().await.context("the socket ended")?? {
            Message::Text(text) => return Ok(serde_json::from_str(&text)?),
            Message::Close(frame) => anyhow::bail!("the socket was closed: {frame:?}"),
            _ => {}
        }
    }
}
