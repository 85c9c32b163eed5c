//! Who writes: sends, edits, deletes, reacts and reads.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::SEED;
use crate::harness::PATIENCE;
use crate::harness::act::SEND;
use crate::harness::client::{Person, code, text};

const EDIT: &str =
    "mutation ($id: ID!, $text: String!) { editMessage(id: $id, text: $text) { message { id } } }";
const DELETE: &str = "mutation ($id: ID!) { deleteMessage(id: $id) { message { id } } }";
const REACT: &str = "mutation ($id: ID!, $emoji: String!, $on: Boolean!) {
    reactToMessage(id: $id, emoji: $emoji, on: $on) { message { id } } }";
const READ: &str = "query ($id: ID!) { viewer { feed(first: 5) { nodes { id } } }
    conversation(id: $id) { unreadCount messages { nodes { id text sender { username } } } } }";
const MARK_READ: &str = "mutation ($id: ID!, $seq: Int!) {
    markConversationRead(id: $id, seq: $seq) { conversation { id } } }";
const EMOJI: [&str; 3] = ["👍", "🎉", "😀"];
/// After these the same request is sent again.
const PASSING: [&str; 3] = ["SHARD_UNAVAILABLE", "TIMEOUT", "RATE_LIMITED"];

/// The ids of all messages that were acknowledged, by their conversation; shared by all writers.
#[derive(Default)]
pub struct Board(Mutex<BTreeMap<String, Vec<String>>>);

impl Board {
    fn pin(&self, conversation: &str, message: &str) {
        let mut all = self.0.lock().expect("no panic");
        all.entry(conversation.to_owned()).or_default().push(message.to_owned());
    }

    /// One of the newer messages of a conversation.
    fn draw(&self, conversation: &str, random: &mut StdRng) -> Option<String> {
        let all = self.0.lock().expect("no panic");
        let known = all.get(conversation)?;
        known[known.len().saturating_sub(20)..].choose(random).cloned()
    }

    pub fn take(&self) -> BTreeMap<String, Vec<String>> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}

/// Where requests go.
#[derive(Clone, Copy)]
pub enum Apis {
    /// To processes that break: to one after the other, until one has answered.
    Breaking([SocketAddr; 2]),
    /// To a place where each request succeeds at once.
    Perfect(SocketAddr),
}

pub struct Writer<'a> {
    person: Person,
    apis: Apis,
    /// The conversations that it takes part in.
    conversations: Vec<String>,
    board: &'a Board,
    random: StdRng,
    /// What it sent and may change.
    own: Vec<String>,
    turn: usize,
    written: usize,
}

impl<'a> Writer<'a> {
    pub fn new(
        number: usize,
        person: Person,
        apis: Apis,
        conversations: Vec<String>,
        board: &'a Board,
    ) -> Self {
        let random = StdRng::seed_from_u64(SEED + number as u64);
        Self { person, apis, conversations, board, random, own: Vec::new(), turn: number, written: 0 }
    }

    /// Writes until told to stop, and counts what is done.
    pub async fn write(&mut self, stop: &AtomicBool, done: &AtomicUsize) {
        while !stop.load(Ordering::Relaxed) {
            let to = self.conversations.choose(&mut self.random).expect("a conversation").clone();
            match self.random.random_range(0..100) {
                0..50 => _ = self.send(&to).await,
                50..65 => self.edit().await,
                65..75 => self.delete().await,
                75..80 => self.mark_read(&to).await,
                80..90 => self.read(&to).await,
                _ => self.react(&to).await,
            }
            done.fetch_add(1, Ordering::Relaxed);
            let pause = Duration::from_millis(self.random.random_range(80..240));
            sleep(pause).await;
        }
    }

    /// Sends a message; its id.
    pub async fn send(&mut self, conversation: &str) -> String {
        self.written += 1;
        let words = format!("{} of {}", self.written, self.person.username);
        let key = Uuid::from_u128(self.random.random());
        let input = json!({ "idempotencyKey": key, "to": { "conversationId": conversation }, "text": words });
        let sent = self.insist(SEND, json!({ "input": input })).await.expect("a message is sent");
        let id = text(&sent["sendMessage"]["message"]["id"]);
        self.board.pin(conversation, &id);
        self.own.push(id.clone());
        id
    }

    async fn edit(&mut self) {
        let Some(id) = self.own.choose(&mut self.random).cloned() else { return };
        self.written += 1;
        let words = format!("{} of {}, edited", self.written, self.person.username);
        self.insist(EDIT, json!({ "id": id, "text": words })).await.expect("a message is edited");
    }

    async fn delete(&mut self) {
        if self.own.is_empty() {
            return;
        }
        let index = self.random.random_range(0..self.own.len());
        let id = self.own.swap_remove(index);
        self.insist(DELETE, json!({ "id": id })).await.expect("a message is deleted");
    }

    async fn mark_read(&mut self, conversation: &str) {
        let seq = self.written;
        self.insist(MARK_READ, json!({ "id": conversation, "seq": seq })).await.expect("a message is read");
    }

    async fn read(&mut self, conversation: &str) {
        let data = self.insist(READ, json!({ "id": conversation })).await.expect("messages are read");
        assert!(!data["conversation"]["messages"]["nodes"].as_array().expect("nodes").is_empty());
    }

    async fn react(&mut self, conversation: &str) {
        let Some(id) = self.board.draw(conversation, &mut self.random) else { return };
        let emoji = EMOJI.choose(&mut self.random).expect("an emoji");
        let on = self.random.random_bool(0.8);
        let answer = self.insist(REACT, json!({ "id": id, "emoji": emoji, "on": on })).await;
        // It may be gone meanwhile.
        assert!(answer.as_ref().err().is_none_or(|code| code == "CONFLICT"), "{answer:?}");
    }

    /// The data of a request, or its error; what passes is no answer, and sent again or, where all is perfect, fails.
    async fn insist(&mut self, query: &str, variables: Value) -> Result<Value, String> {
        let apis = match self.apis {
            Apis::Breaking(apis) => apis,
            Apis::Perfect(at) => {
                let mut answer = self.person.at(at).client.ask(query, variables).await;
                let code = code(&answer);
                let passes = code.as_ref().is_some_and(|code| PASSING.contains(&&**code));
                assert!(!passes, "a request failed: {answer}");
                return code.map_or_else(|| Ok(answer["data"].take()), Err);
            }
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.turn += 1;
            let client = self.person.at(apis[self.turn % 2]).client;
            if let Ok(mut answer) = client.try_ask(query, variables.clone()).await {
                match code(&answer) {
                    None => return Ok(answer["data"].take()),
                    Some(code) if !PASSING.contains(&&*code) => return Err(code),
                    Some(_) => {}
                }
            }
            assert!(Instant::now() < deadline, "{variables} gets no answer");
            sleep(Duration::from_millis(100)).await;
        }
    }
}
