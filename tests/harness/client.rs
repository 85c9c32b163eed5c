//! A frontend: GraphQL over HTTP and over a WebSocket.

use std::net::SocketAddr;

use fowergram::model::id::UserId;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{self, Message};

use super::PATIENCE;

/// What sockets speak.
pub const PROTOCOL: &str = "graphql-transport-ws";

/// Everybody's password in tests.
pub const PASSWORD: &str = "olive harbour lantern 42";

/// An API process as somebody, or a stranger, uses it.
#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    pub http: reqwest::Client,
    pub token: Option<String>,
}

/// Somebody who has signed up.
#[derive(Clone)]
pub struct Person {
    pub client: Client,
    pub id: String,
    pub username: String,
    pub refresh_token: String,
}

impl Person {
    pub fn user_id(&self) -> UserId {
        UserId::parse("id", &self.id).expect("a user's id")
    }

    /// The same person at another API process.
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { client: Client { address, ..self.client.clone() }, ..self.clone() }
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
        Self { address, http, token: None }
    }

    pub fn url(&self) -> String {
        format!("http://{}/graphql", self.address)
    }

    /// The whole response: `data`, `errors`.
    pub async fn ask(&self, query: &str, variables: Value) -> Value {
        self.try_ask(query, variables).await.expect("an answer")
    }

    /// The same of a process that may be gone.
    pub async fn try_ask(&self, query: &str, variables: Value) -> reqwest::Result<Value> {
        let mut request = self.http.post(self.url()).json(&json!({ "query": query, "variables": variables }));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        request.send().await?.json().await
    }

    /// The data of a request that must succeed.
    pub async fn data(&self, query: &str, variables: Value) -> Value {
        let mut answer = self.ask(query, variables).await;
        assert!(answer["errors"].is_null(), "{query}: {}", answer["errors"]);
        answer["data"].take()
    }

    /// The code of the first error of a request that must fail.
    pub async fn code(&self, query: &str, variables: Value) -> String {
        let answer = self.ask(query, variables).await;
        code(&answer).unwrap_or_else(|| panic!("{query} succeeded: {answer}"))
    }

    /// What `/ready` says: the status, and the parts.
    pub async fn ready(&self) -> (u16, Value) {
        let answer = self.http.get(format!("http://{}/ready", self.address)).send().await.expect("an answer");
        (answer.status().as_u16(), answer.json().await.expect("JSON"))
    }

    pub async fn sign_up(&self, username: &str) -> Person {
        let input =
            json!({ "username": username, "email": format!("{username}@example.org"), "password": PASSWORD });
        let data = self
            .data(
                "mutation ($input: SignUpInput!) { signUp(input: $input) {
                    accessToken refreshToken viewer { user { id username } } } }",
                json!({ "input": input }),
            )
            .await;
        let payload = &data["signUp"];
        Person {
            client: Self { token: Some(text(&payload["accessToken"])), ..self.clone() },
            id: text(&payload["viewer"]["user"]["id"]),
            username: text(&payload["viewer"]["user"]["username"]),
            refresh_token: text(&payload["refreshToken"]),
        }
    }

    /// Uploads a picture through the API and waits until it can be shown; its id.
    pub async fn ready_media(&self, jpeg: Vec<u8>) -> String {
        let id = self.upload(jpeg).await;
        self.until_ready(&id).await;
        id
    }

    /// Uploads a JPEG as a GraphQL multipart request; the media's id.
    pub async fn upload(&self, jpeg: Vec<u8>) -> String {
        self.upload_as("image/jpeg", jpeg, None).await
    }

    /// Uploads a file of a type, with a description.
    pub async fn upload_as(&self, content_type: &str, file: Vec<u8>, alt: Option<&str>) -> String {
        let part = reqwest::multipart::Part::bytes(file).file_name("a.jpg").mime_str(content_type);
        let answer = self.upload_part(part.expect("a media type"), alt).await;
        assert!(answer["errors"].is_null(), "{answer}");
        text(&answer["data"]["uploadMedia"]["media"]["id"])
    }

    /// Uploads a part as it is; the answer.
    pub async fn upload_part(&self, part: reqwest::multipart::Part, alt: Option<&str>) -> Value {
        let operations = json!({
            "query": "mutation ($file: Upload!, $alt: String) { uploadMedia(file: $file, alt: $alt) {
                media { id } } }",
            "variables": { "file": null, "alt": alt },
        });
        let form = reqwest::multipart::Form::new()
            .text("operations", operations.to_string())
            .text("map", json!({ "0": ["variables.file"] }).to_string())
            .part("0", part);
        let request = self.http.post(self.url()).header("GraphQL-Require-Preflight", "1").multipart(form);
        let request = request.bearer_auth(self.token.as_deref().unwrap_or_default());
        request.send().await.expect("an answer").json().await.expect("JSON")
    }

    pub async fn until_ready(&self, media: &str) {
        super::eventually("the image is ready", async || {
            let data = self
                .data("query ($id: ID!) { node(id: $id) { ... on Media { state } } }", json!({ "id": media }))
                .await;
            assert_ne!(data["node"]["state"], "FAILED");
            (data["node"]["state"] == "READY").then_some(())
        })
        .await;
    }

    /// Posts a picture; the post's id.
    pub async fn post(&self, caption: &str) -> String {
        let media = self.ready_media(picture(64, 48)).await;
        let input = json!({ "idempotencyKey": media, "mediaIds": [media], "caption": caption });
        let data = self
            .data(
                "mutation ($input: CreatePostInput!) { createPost(input: $input) { post { id } } }",
                json!({ "input": input }),
            )
            .await;
        text(&data["createPost"]["post"]["id"])
    }

    /// Opens a socket with a subprotocol and says nothing; the status of a refusal.
    pub async fn knock(&self, protocol: &str) -> Result<Socket, u16> {
        let connection = TcpStream::connect(self.address).await.expect("a connection");
        self.knock_on(connection, protocol).await
    }

    async fn knock_on(&self, connection: TcpStream, protocol: &str) -> Result<Socket, u16> {
        match self.upgrade(connection, protocol).await {
            Ok(socket) => Ok(socket),
            Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("no answer: {error}"),
        }
    }

    async fn upgrade(&self, connection: TcpStream, protocol: &str) -> tungstenite::Result<Socket> {
        let mut request = format!("ws://{}/graphql/ws", self.address).into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().expect("a header"));
        let (stream, _) = tokio_tungstenite::client_async(request, connection).await?;
        Ok(Socket { stream, next: 0 })
    }

    /// Opens a socket at a process that may be gone; none where it is.
    pub async fn reach(&self) -> Option<Socket> {
        let connection = TcpStream::connect(self.address).await.ok()?;
        let mut socket = self.upgrade(connection, PROTOCOL).await.ok()?;
        socket.try_send(self.init()).await.ok()?;
        let answer = socket.message().await.ok()?;
        assert_eq!(answer["type"], "connection_ack", "{answer}");
        Some(socket)
    }

    /// The token as it is sent, with its scheme.
    pub fn authorization(&self) -> Option<String> {
        self.token.as_ref().map(|token| format!("Bearer {token}"))
    }

    fn init(&self) -> Value {
        json!({ "type": "connection_init", "payload": { "authorization": self.authorization() } })
    }

    /// Opens a socket and is let in.
    pub async fn socket(&self) -> Socket {
        self.try_socket().await.expect("it is let in")
    }

    /// Opens a socket and says who it is; how it was closed where it is not let in.
    pub async fn try_socket(&self) -> Result<Socket, Closed> {
        let socket = self.knock(PROTOCOL).await.expect("a socket");
        self.enter(socket).await
    }

    /// A socket through which little fits that is not read.
    pub async fn narrow_socket(&self) -> Socket {
        let connection = self.narrow_connection().await;
        let socket = self.knock_on(connection, PROTOCOL).await.expect("a socket");
        self.enter(socket).await.expect("it is let in")
    }

    pub async fn narrow_connection(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        socket.connect(self.address).await.expect("a connection")
    }

    async fn enter(&self, mut socket: Socket) -> Result<Socket, Closed> {
        socket.send(self.init()).await;
        let answer = socket.message().await?;
        assert_eq!(answer["type"], "connection_ack", "{answer}");
        Ok(socket)
    }
}

/// The code and the reason with which a socket was closed; 1006 where it was closed without.
pub type Closed = (u16, String);

/// An open socket that was let in.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    next: u32,
}

impl Socket {
    pub async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    /// The same to a process that may be gone.
    pub async fn try_send(&mut self, message: Value) -> tungstenite::Result<()> {
        self.stream.send(Message::text(message.to_string())).await
    }

    pub async fn send_text(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.expect("the socket is open");
    }

    /// Begins a subscription; its id.
    pub async fn subscribe(&mut self, query: &str, variables: Value) -> String {
        self.try_subscribe(query, variables).await.expect("the socket is open")
    }

    /// The same at a process that may be gone.
    pub async fn try_subscribe(&mut self, query: &str, variables: Value) -> tungstenite::Result<String> {
        self.next += 1;
        let id = self.next.to_string();
        let payload = json!({ "query": query, "variables": variables });
        self.try_send(json!({ "id": id, "type": "subscribe", "payload": payload })).await?;
        Ok(id)
    }

    /// The next message that is not a ping; the code with which the socket was closed instead.
    pub async fn receive(&mut self) -> Result<Value, u16> {
        self.message().await.map_err(|(code, _)| code)
    }

    /// How the socket is closed, whatever it tells before.
    pub async fn closed(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.message().await {
                return closed;
            }
        }
    }

    /// The next message that is not a ping; how the socket was closed instead.
    pub async fn message(&mut self) -> Result<Value, Closed> {
        // Of the whole wait, which pings do not prolong.
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let message =
                tokio::time::timeout_at(deadline, self.stream.next()).await.expect("a message comes");
            match message {
                Some(Ok(Message::Text(text))) => {
                    let message: Value = serde_json::from_str(&text).expect("JSON");
                    if message["type"] == "ping" {
                        // Who has closed meanwhile says so with the next message.
                        let _ = self.try_send(json!({ "type": "pong" })).await;
                    } else {
                        return Ok(message);
                    }
                }
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Err((frame.code.into(), frame.reason.to_string()));
                }
                Some(Ok(Message::Close(None))) => return Err((1005, String::new())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err((1006, String::new())),
            }
        }
    }

    /// The data of the next event of any subscription, which must be free of errors.
    pub async fn event(&mut self) -> Value {
        let mut message = self.receive().await.expect("the socket is open");
        assert_eq!(message["type"], "next", "{message}");
        assert!(message["payload"]["errors"].is_null(), "{message}");
        message["payload"]["data"].take()
    }

    /// Cuts the connection without a word.
    pub fn cut(self) {
        drop(self.stream);
    }

    /// The connection, on which nothing answers the server's pings.
    pub fn into_silence(self) -> TcpStream {
        self.stream.into_inner()
    }
}

/// The names of the parts that `/ready` misses.
pub fn missing(ready: &Value) -> Vec<String> {
    let parts = ready["parts"].as_array().expect("parts");
    parts.iter().filter(|part| part["healthy"] == false).map(|part| text(&part["name"])).collect()
}

/// The code of the first error of a response.
pub fn code(answer: &Value) -> Option<String> {
    answer["errors"][0]["extensions"]["code"].as_str().map(str::to_owned)
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

/// A JPEG of this size.
pub fn picture(width: u32, height: u32) -> Vec<u8> {
    let image = image::RgbImage::from_fn(width, height, |x, y| {
        let shade = |value: u32| u8::try_from(value % 256).unwrap_or_default();
        image::Rgb([shade(x * 3), shade(y * 5), shade(x + y)])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Jpeg).expect("encodes");
    bytes.into_inner()
}
