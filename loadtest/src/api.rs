//! The GraphQL API as a client sees it; for setting up, where speed is not measured.

use std::net::SocketAddr;

use anyhow::Context;
use serde_json::{Value, json};

use crate::http::{self, Connection};

/// Where the API takes requests.
pub const PATH: &str = "/graphql";

const PICTURE: &[u8] = include_bytes!("picture.png");

/// A client with a connection of its own, signed in or not.
pub struct Api {
    connection: Connection,
    token: Option<String>,
}

impl Api {
    pub async fn connect(address: SocketAddr, token: Option<&str>) -> anyhow::Result<Self> {
        Ok(Self { connection: Connection::open(address).await?, token: token.map(str::to_owned) })
    }

    /// Executes an operation; any error in the answer is an error.
    pub async fn call(&mut self, query: &str, variables: Value) -> anyhow::Result<Value> {
        let request = request(self.token.as_deref(), query, &variables);
        self.send(&request).await.with_context(|| query.to_owned())
    }

    /// Uploads a small picture; the id of its media, which is not processed yet.
    pub async fn upload_picture(&mut self) -> anyhow::Result<String> {
        const BOUNDARY: &str = "a-picture-follows";
        let operations = json!({
            "query": "mutation($file: Upload!) { uploadMedia(file: $file) { media { id } } }",
            "variables": { "file": null },
        });
        let mut body = format!(
            "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"operations\"\r\n\r\n{operations}\r\n\
             --{BOUNDARY}\r\ncontent-disposition: form-data; name=\"map\"\r\n\r\n{{\"0\": [\"variables.file\"]}}\r\n\
             --{BOUNDARY}\r\ncontent-disposition: form-data; name=\"0\"; filename=\"picture.png\"\r\n\
             content-type: image/png\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(PICTURE);
        body.extend_from_slice(format!("\r\n--{BOUNDARY}--\r\n").as_bytes());
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = http::post(PATH, self.token.as_deref(), &kind, &body);
        let data = self.send(&request).await.context("uploadMedia")?;
        text(&data, "/uploadMedia/media/id")
    }

    async fn send(&mut self, request: &[u8]) -> anyhow::Result<Value> {
        let reply = self.connection.send(request).await?;
        let mut answer: Value = serde_json::from_slice(reply.body)
            .with_context(|| format!("status {} without JSON", reply.status))?;
        if let Some(error) = answer.pointer("/errors/0") {
            anyhow::bail!("status {}: {error}", reply.status);
        }
        Ok(answer["data"].take())
    }
}

/// A request for an operation, as bytes.
pub fn request(token: Option<&str>, query: &str, variables: &Value) -> Vec<u8> {
    let body = json!({ "query": query, "variables": variables }).to_string();
    http::post(PATH, token, "application/json", body.as_bytes())
}

/// The string at this place of an answer.
pub fn text(data: &Value, pointer: &str) -> anyhow::Result<String> {
    let value = data.pointer(pointer).and_then(Value::as_str);
    Ok(value.with_context(|| format!("no {pointer} in {data}"))?.to_owned())
}
