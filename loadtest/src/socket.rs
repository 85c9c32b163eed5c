//! A `graphql-transport-ws` client that holds as little as it can: thousands of them share a process.

use std::net::SocketAddr;

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// An open socket.
pub struct Socket(WebSocketStream<TcpStream>);

fn small() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(2048).write_buffer_size(0)
}

impl Socket {
    /// Opens a socket as somebody.
    pub async fn open(at: SocketAddr, token: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        let mut request = format!("ws://{at}/graphql/ws").into_client_request()?;
        let protocol = HeaderValue::from_static("graphql-transport-ws");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let (socket, _) = tokio_tungstenite::client_async_with_config(request, stream, Some(small())).await?;
        let mut socket = Self(socket);
        let payload = json!({ "authorization": format!("Bearer {token}") });
        socket.say(&json!({ "type": "connection_init", "payload": payload })).await?;
        let answer = socket.next().await?;
        anyhow::ensure!(answer["type"] == "connection_ack", "not acknowledged: {answer}");
        Ok(socket)
    }

    /// Subscribes, once a socket. The subscription may begin a little later.
    pub async fn subscribe(&mut self, query: &str, variables: &Value) -> anyhow::Result<()> {
        let payload = json!({ "query": query, "variables": variables });
        self.say(&json!({ "id": "1", "type": "subscribe", "payload": payload })).await?;
        // Nothing tells when a subscription has begun; a ping's answer comes after it was read.
        self.say(&json!({ "type": "ping" })).await?;
        while self.next().await?["type"] != "pong" {}
        Ok(())
    }

    /// The reading end of a plain connection that carries the same frames.
    pub async fn plain(stream: TcpStream) -> Self {
        Self(WebSocketStream::from_raw_socket(stream, Role::Client, Some(small())).await)
    }

    pub async fn say(&mut self, message: &Value) -> anyhow::Result<()> {
        Ok(self.0.send(Message::text(message.to_string())).await?)
    }

    /// The next message's text, not looked into.
    pub async fn text(&mut self) -> anyhow::Result<Utf8Bytes> {
        loop {
            match self.0.next().await.context("the socket ended")?? {
                Message::Text(text) => return Ok(text),
                Message::Close(frame) => anyhow::bail!("the socket was closed: {frame:?}"),
                _ => {}
            }
        }
    }

    /// The next message.
    pub async fn next(&mut self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.text().await?)?)
    }
}
