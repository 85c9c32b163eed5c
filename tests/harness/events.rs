//! A frontend's event streams: GraphQL over server-sent events.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use super::PATIENCE;
use super::client::Client;

/// Says which reserved stream a request is about.
pub const TOKEN: &str = "x-graphql-event-stream-token";

impl Client {
    pub fn stream_url(&self) -> String {
        format!("{}/stream", self.url())
    }

    /// A request to the endpoint of event streams, as whoever the client is.
    pub fn stream_request(&self, method: Method) -> RequestBuilder {
        let request = self.http.request(method, self.stream_url());
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// The answer to an operation on a stream of its own.
    pub async fn try_stream(&self, query: &str, variables: Value) -> Response {
        let request = self.stream_request(Method::POST).header(ACCEPT, "text/event-stream");
        let body = json!({ "query": query, "variables": variables });
        request.json(&body).send().await.expect("an answer")
    }

    /// The stream of an operation that has it for itself.
    pub async fn stream(&self, query: &str, variables: Value) -> EventStream {
        EventStream::of(self.try_stream(query, variables).await)
    }

    /// Reserves a stream; its token.
    pub async fn reserve_stream(&self) -> String {
        let answer = self.stream_request(Method::PUT).send().await.expect("an answer");
        assert_eq!(answer.status(), 201);
        answer.text().await.expect("a token")
    }

    /// The answer to the request for a reserved stream, made as a browser does, that sends no headers.
    pub async fn try_open_stream(&self, token: &str) -> Response {
        let request = self.http.get(self.stream_url()).query(&[("token", token)]);
        request.header(ACCEPT, "text/event-stream").send().await.expect("an answer")
    }

    pub async fn open_stream(&self, token: &str) -> EventStream {
        EventStream::of(self.try_open_stream(token).await)
    }

    /// Sends an operation to a reserved stream.
    pub async fn send_to_stream(&self, token: &str, id: &str, query: &str, variables: Value) -> Response {
        let body = json!({ "query": query, "variables": variables, "extensions": { "operationId": id } });
        let request = self.stream_request(Method::POST).header(TOKEN, token).json(&body);
        request.send().await.expect("an answer")
    }

    /// Stops an operation on a reserved stream.
    pub async fn stop_on_stream(&self, token: &str, id: &str) -> Response {
        let request = self.stream_request(Method::DELETE).header(TOKEN, token);
        request.query(&[("operationId", id)]).send().await.expect("an answer")
    }
}

/// An open event stream.
pub struct EventStream {
    response: Response,
    read: Vec<u8>,
}

impl EventStream {
    fn of(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream; charset=utf-8");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self { response, read: Vec::new() }
    }

    /// The next event's name and data; comments are skipped. `None` at the end of the answer.
    pub async fn next(&mut self) -> Option<(String, Value)> {
        let event = tokio::time::timeout(PATIENCE, self.read_event()).await;
        event.expect("an event comes")
    }

    async fn read_event(&mut self) -> Option<(String, Value)> {
        loop {
            let Some(end) = self.read.windows(2).position(|pair| pair == b"\n\n") else {
                let chunk = self.response.chunk().await.expect("the answer is not cut short")?;
                self.read.extend_from_slice(&chunk);
                continue;
            };
            let event: Vec<u8> = self.read.drain(..end + 2).collect();
            let event = std::str::from_utf8(&event).expect("UTF-8");
            if event.starts_with(':') {
                continue;
            }
            let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
            let data = line("data: ").expect("data");
            let data = if data.is_empty() { Value::Null } else { serde_json::from_str(data).expect("JSON") };
            return Some((line("event: ").expect("a name").to_owned(), data));
        }
    }

    /// What the next event tells, which must be `next`.
    pub async fn told(&mut self) -> Value {
        let (name, data) = self.next().await.expect("the stream goes on");
        assert_eq!(name, "next", "{data}");
        data
    }

    /// Acts until the stream tells of it: an action before the subscription is in force is not told of.
    pub async fn told_of(&mut self, act: impl AsyncFn()) -> Value {
        loop {
            act().await;
            if let Ok(told) = tokio::time::timeout(Duration::from_millis(100), self.told()).await {
                return told;
            }
        }
    }

    /// All events up to the end of the answer.
    pub async fn rest(&mut self) -> Vec<(String, Value)> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}
