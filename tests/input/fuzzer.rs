//! Throws, and judges the answer.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::position::InputPosition;
use crate::harness::client::{Client, PASSWORD, Person, Socket, picture, text};
use crate::harness::eventually;
use crate::harness::schema::Schema;

/// Ids of what is there.
pub struct Things {
    pub email: String,
    /// Somebody else.
    pub user: String,
    pub post: String,
    pub comment: String,
    pub conversation: String,
    pub message: String,
    pub media: String,
    /// Media whose file does not come.
    pub awaited: String,
    pub notification: String,
    pub session: String,
}

/// One who is signed in, and throws.
pub struct Fuzzer {
    pub things: Things,
    codes: HashSet<String>,
    person: Person,
    /// Who may be signed out.
    leaver: Mutex<Client>,
    socket: Mutex<Socket>,
    thrown: AtomicUsize,
}

/// What bad input never leads to.
const FAULTS: [&str; 7] = [
    "INTERNAL",
    "SHARD_UNAVAILABLE",
    "STORAGE_UNAVAILABLE",
    "TIMEOUT",
    "RATE_LIMITED",
    "GRAPHQL_PARSE_FAILED",
    "GRAPHQL_VALIDATION_FAILED",
];
/// What belongs into a log and not into an answer.
const INSIDES: [&str; 8] =
    ["sqlx", "sea_orm", "postgres", "relation \"", "syntax error", "panicked", "byte sequence", "src/"];
/// Asked behind a subscription: when it is answered, so was what is wrong with the subscription.
const FENCE: &str = "{ viewer { notifications(first: 1) { unreadCount nodes { id } } } }";

impl Fuzzer {
    pub async fn new(client: &Client, schema: &Schema) -> Self {
        let person = client.sign_up("fuzzer").await;
        let socket = Mutex::new(person.client.socket().await);
        Self {
            things: things(client, &person).await,
            codes: schema.values("ErrorCode").into_iter().collect(),
            person,
            leaver: Mutex::new(client.sign_up("leaver").await.client),
            socket,
            thrown: AtomicUsize::new(0),
        }
    }

    /// Throws a value. The error is what is wrong with the answer; true: it was refused, and named.
    pub async fn throw(&self, position: &InputPosition, value: &Value) -> Result<bool, String> {
        let variables = position.with(value, self.thrown.fetch_add(1, Ordering::Relaxed));
        let judged = if position.is_live() {
            self.throw_live(position, value, &variables).await
        } else {
            self.throw_once(position, value, &variables).await
        };
        judged.map_err(|fault| {
            let mut shown = value.to_string();
            shown.truncate(shown.floor_char_boundary(200));
            format!("{position} with {shown}: {fault}")
        })
    }

    async fn throw_once(
        &self,
        position: &InputPosition,
        value: &Value,
        variables: &Value,
    ) -> Result<bool, String> {
        let leaver = if position.field == "signOut" { Some(self.leaver.lock().await) } else { None };
        let client = leaver.as_deref().unwrap_or(&self.person.client);
        let body = json!({ "query": position.document, "variables": variables });
        let mut request = client.http.post(client.url());
        if position.field == "uploadMedia" && position.path != ["file"] {
            let file = reqwest::multipart::Part::bytes(picture(8, 8)).mime_str("image/jpeg");
            let form = reqwest::multipart::Form::new()
                .text("operations", body.to_string())
                .text("map", json!({ "0": ["variables.file"] }).to_string())
                .part("0", file.expect("a media type"));
            request = request.header("GraphQL-Require-Preflight", "1").multipart(form);
        } else {
            request = request.json(&body);
        }
        let request = request.bearer_auth(client.token.as_deref().unwrap_or_default());
        let answer = request.send().await.map_err(|error| format!("no answer: {error}"))?;
        let status = answer.status();
        let body = answer.text().await.map_err(|error| format!("half an answer: {error}"))?;
        if status.is_server_error() {
            return Err(format!("{status}: {body}"));
        }
        let body: Value = serde_json::from_str(&body).map_err(|_| format!("no JSON: {body}"))?;
        if let Some(mut leaver) = leaver
            && body["data"]["signOut"].is_object()
        {
            *leaver = sign_in(&leaver, "leaver").await;
        }
        self.judge(position, value, &body)
    }

    async fn throw_live(
        &self,
        position: &InputPosition,
        value: &Value,
        variables: &Value,
    ) -> Result<bool, String> {
        let mut socket = self.socket.lock().await;
        let id = socket.subscribe(&position.document, variables.clone()).await;
        let fence = socket.subscribe(FENCE, json!({})).await;
        let mut named = false;
        loop {
            let message = socket.receive().await.map_err(|code| format!("the socket was closed: {code}"))?;
            let answer = match message["type"].as_str() {
                Some("error") => json!({ "errors": message["payload"] }),
                Some("next") => message["payload"].clone(),
                Some("complete") if message["id"] == json!(fence) => break,
                _ => continue,
            };
            let judged = self.judge(position, value, &answer);
            // What comes late is another throw's, whose name it has.
            if message["id"] == json!(id) {
                named |= judged?;
            }
        }
        socket.send(json!({ "id": id, "type": "complete" })).await;
        Ok(named)
    }

    fn judge(&self, position: &InputPosition, value: &Value, body: &Value) -> Result<bool, String> {
        let whole = body.to_string();
        if let Some(inside) = INSIDES.iter().find(|inside| whole.to_lowercase().contains(**inside)) {
            return Err(format!("says {inside:?}: {whole}"));
        }
        if body["errors"].is_null() {
            return if body["data"].is_object() {
                Ok(false)
            } else {
                Err(format!("no GraphQL answer: {whole}"))
            };
        }
        let errors = body["errors"].as_array().filter(|errors| !errors.is_empty());
        let mut named = false;
        for error in errors.ok_or_else(|| format!("errors is no list of any: {whole}"))? {
            let code = error["extensions"]["code"].as_str().filter(|code| self.codes.contains(*code));
            let code = code.ok_or_else(|| format!("an error without a code of ours: {whole}"))?;
            if FAULTS.contains(&code) || error["message"].as_str().is_none_or(str::is_empty) {
                return Err(whole);
            }
            if matches!(code, "BAD_USER_INPUT" | "PAGE_SIZE_INVALID" | "CURSOR_INVALID") {
                let field = error["extensions"]["field"].as_str();
                // Null is as good as nothing, and then another argument may have to be there.
                if !field.is_some_and(|field| value.is_null() || position.is_meant_by(field)) {
                    return Err(format!("names {field:?}: {whole}"));
                }
                named = true;
            }
        }
        Ok(named)
    }
}

async fn sign_in(client: &Client, name: &str) -> Client {
    let input = json!({ "login": name, "password": PASSWORD });
    let query = "mutation ($input: SignInInput!) { signIn(input: $input) { accessToken } }";
    let stranger = Client { token: None, ..client.clone() };
    let data = stranger.data(query, json!({ "input": input })).await;
    Client { token: Some(text(&data["signIn"]["accessToken"])), ..stranger }
}

async fn things(client: &Client, person: &Person) -> Things {
    let other = client.sign_up("other").await;
    let post = person.client.post("The #sun").await;
    let media = person.client.ready_media(picture(16, 16)).await;
    let input =
        json!({ "kind": "IMAGE", "contentType": "image/jpeg", "bytes": 1000, "sha256": "0".repeat(64) });
    let query = "mutation ($input: UploadInput!) { createUpload(input: $input) { media { id } } }";
    let awaited = person.client.data(query, json!({ "input": input })).await;
    let input = json!({ "idempotencyKey": "c", "postId": post, "text": "Nice" });
    let query = "mutation ($input: CreateCommentInput!) { createComment(input: $input) { comment { id } } }";
    let comment = other.client.data(query, json!({ "input": input })).await;
    let input = json!({ "idempotencyKey": "m", "to": { "userId": other.id }, "text": "Hello" });
    let query = "mutation ($input: SendMessageInput!) { sendMessage(input: $input) { conversation { id } message { id } } }";
    let sent = person.client.data(query, json!({ "input": input })).await;
    let sessions = other.client.data("{ viewer { sessions { id } } }", json!({})).await;
    let notification = eventually("the comment is told", async || {
        let data = person.client.data(FENCE, json!({})).await;
        data["viewer"]["notifications"]["nodes"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
    Things {
        email: "fuzzer@example.org".to_owned(),
        user: other.id,
        post,
        comment: text(&comment["createComment"]["comment"]["id"]),
        conversation: text(&sent["sendMessage"]["conversation"]["id"]),
        message: text(&sent["sendMessage"]["message"]["id"]),
        media,
        awaited: text(&awaited["createUpload"]["media"]["id"]),
        notification,
        session: text(&sessions["viewer"]["sessions"][0]["id"]),
    }
}
