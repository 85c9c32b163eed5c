//! One client: somebody with a connection that stays open.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use memchr::memmem;
use rand::RngExt as _;
use rand::distr::Distribution as _;
use rand::distr::weighted::WeightedIndex;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::action::{self, Action};
use super::board::{Board, Figures};
use super::plan::Plan;
use crate::api;
use crate::http::Connection;
use crate::load::Id;
use crate::population::{CREATE_POST, FEED, Population};
use crate::stack::Stack;

/// How long an answer may take.
const WITHIN: Duration = Duration::from_secs(30);

/// Somebody whom clients are signed in as.
struct Person {
    token: String,
    conversation: Id,
    pictures: Mutex<Vec<Id>>,
}

/// What all clients know.
pub struct Network {
    apis: [SocketAddr; 2],
    people: Vec<Person>,
    users: Arc<[Id]>,
    posts: Arc<[Id]>,
    board: Mutex<Board>,
    connections: std::sync::atomic::AtomicUsize,
}

impl Network {
    /// Takes the pictures of the population, each of which is used once.
    pub fn new(stack: &Stack, population: &mut Population, conversations: Vec<Id>) -> Self {
        let people = population.viewers.iter_mut().zip(conversations).map(|(viewer, conversation)| Person {
            token: viewer.token.clone(),
            conversation,
            pictures: Mutex::new(std::mem::take(&mut viewer.pictures)),
        });
        Self {
            apis: [stack.api(0), stack.api(1)],
            people: people.collect(),
            users: Arc::clone(&population.seeded),
            posts: Arc::clone(&population.posts),
            board: Mutex::new(Board::new()),
            connections: 0.into(),
        }
    }

    pub fn board(&self) -> Board {
        self.board.lock().expect("no panic").clone()
    }

    pub fn take_second(&self) -> Figures {
        self.board.lock().expect("no panic").take_second()
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.connections.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// A connection that is counted.
struct Counted {
    connection: Connection,
    network: Arc<Network>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.network.connections.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}

pub struct Client {
    number: usize,
    network: Arc<Network>,
    pause: Duration,
    mix: &'static [(Action, u32)],
    chances: WeightedIndex<u32>,
    connection: Option<Counted>,
    /// The next one to connect to.
    turn: usize,
    /// Where the next page of the feed begins.
    after: Value,
    /// What was liked and followed last, to be taken back.
    liked: Option<Id>,
    followed: Option<Id>,
}

/// What a request failed with.
struct Failed {
    code: String,
    /// Whether the connection is of no more use.
    is_lost: bool,
}

impl Client {
    pub fn new(number: usize, plan: &Plan, network: &Arc<Network>) -> Self {
        Self {
            number,
            network: Arc::clone(network),
            pause: plan.pause,
            mix: plan.mix,
            chances: WeightedIndex::new(plan.mix.iter().map(|(_, weight)| *weight)).expect("good weights"),
            connection: None,
            turn: number,
            after: Value::Null,
            liked: None,
            followed: None,
        }
    }

    /// Works whenever so many are active that this one is; until the sender is gone.
    pub async fn run(mut self, mut active: watch::Receiver<usize>) {
        let number = self.number;
        while active.wait_for(|count| *count > number).await.is_ok() {
            while *active.borrow() > number {
                let pause = self.pause.mul_f64(rand::rng().random_range(0.5..1.5));
                // Those who begin together don't go on together.
                tokio::time::sleep(if self.connection.is_none() { pause / 4 } else { pause }).await;
                let (action, _) = self.mix[self.chances.sample(&mut rand::rng())];
                // It is noted, and the next thing is tried.
                let _ = self.act(action).await;
            }
            self.connection = None;
        }
    }

    async fn act(&mut self, action: Action) -> Result<(), Failed> {
        let network = Arc::clone(&self.network);
        let person = &network.people[self.number % network.people.len()];
        let key = uuid::Uuid::new_v4();
        let words = "What the load wrote";
        match action {
            Action::Feed => self.ask("feed", FEED, json!({})).await?,
            Action::User => self.ask("user", action::USER, json!({ "id": any(&network.users) })).await?,
            Action::Post => {
                self.ask("post with comments", action::POST, json!({ "id": any(&network.posts) })).await?
            }
            Action::Notifications => self.ask("notifications", action::NOTIFICATIONS, json!({})).await?,
            Action::Conversations => self.ask("conversations", action::CONVERSATIONS, json!({})).await?,
            Action::CreatePost => {
                let Some(picture) = person.pictures.lock().expect("no panic").pop() else { return Ok(()) };
                let picture = text_of(&picture);
                let input = json!({ "idempotencyKey": picture, "mediaIds": [picture], "caption": words });
                self.ask("createPost", CREATE_POST, json!({ "input": input })).await?
            }
            Action::CreateComment => {
                let input = json!({ "idempotencyKey": key, "postId": any(&network.posts), "text": words });
                self.ask("createComment", action::CREATE_COMMENT, json!({ "input": input })).await?
            }
            Action::SendMessage => self.send_message(person).await?,
            Action::Like => {
                let (turn, id) = by_turns(&mut self.liked, &network.posts);
                let name = ["likePost", "unlikePost"][turn];
                self.ask(name, action::LIKE[turn], json!({ "id": text_of(&id) })).await?
            }
            Action::Follow => {
                let (turn, id) = by_turns(&mut self.followed, &network.users);
                let name = ["followUser", "unfollowUser"][turn];
                self.ask(name, action::FOLLOW[turn], json!({ "id": text_of(&id) })).await?
            }
            Action::Message => {
                let sent = self.send_message(person).await?;
                let id = sent.pointer("/sendMessage/message/id").cloned().unwrap_or_default();
                let conversation = json!({ "id": text_of(&person.conversation) });
                self.ask("conversation", action::CONVERSATION, conversation).await?;
                let edited = json!({ "id": id, "text": "What the load wrote, better" });
                self.ask("editMessage", action::EDIT_MESSAGE, edited).await?;
                self.ask("deleteMessage", action::DELETE_MESSAGE, json!({ "id": id })).await?
            }
            Action::Page => {
                let name = if self.after.is_null() { "first page" } else { "next page" };
                let after = std::mem::take(&mut self.after);
                let data = self.ask(name, action::PAGE, json!({ "after": after })).await?;
                let page = &data["viewer"]["feed"]["pageInfo"];
                if page["hasNextPage"] == true {
                    self.after = page["endCursor"].clone();
                }
                data
            }
        };
        Ok(())
    }

    async fn send_message(&mut self, person: &Person) -> Result<Value, Failed> {
        let to = json!({ "conversationId": text_of(&person.conversation) });
        let input =
            json!({ "idempotencyKey": uuid::Uuid::new_v4(), "to": to, "text": "What the load wrote" });
        self.ask("sendMessage", action::SEND_MESSAGE, json!({ "input": input })).await
    }

    /// Sends a request and notes how it went; the answer's data, which is read for the few that need it.
    async fn ask(&mut self, name: &'static str, query: &str, variables: Value) -> Result<Value, Failed> {
        let network = Arc::clone(&self.network);
        let token = &network.people[self.number % network.people.len()].token;
        let request = api::request(Some(token), query, &variables);
        let needed = matches!(name, "first page" | "next page" | "sendMessage");
        let begin = Instant::now();
        let answer = match tokio::time::timeout(WITHIN, self.exchange(&request, needed)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failed { code: "no answer in 30 s".to_owned(), is_lost: true }),
        };
        let error = answer.as_ref().err().map(|failed| failed.code.clone());
        network.board.lock().expect("no panic").note(name, begin.elapsed(), error);
        if answer.as_ref().is_err_and(|failed| failed.is_lost) {
            // Whatever comes on it now is no answer to the next request.
            self.connection = None;
        }
        answer
    }

    async fn exchange(&mut self, request: &[u8], needed: bool) -> Result<Value, Failed> {
        let lost = |error: anyhow::Error| Failed {
            code: format!("connection: {}", error.root_cause()),
            is_lost: true,
        };
        if self.connection.is_none() {
            self.turn += 1;
            let connection = Connection::open(self.network.apis[self.turn % 2]).await.map_err(lost)?;
            self.network.connections.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            self.connection = Some(Counted { connection, network: Arc::clone(&self.network) });
        }
        let connection = self.connection.as_mut().expect("it was opened");
        let reply = connection.connection.send(request).await.map_err(lost)?;
        if reply.status != 200 {
            return Err(Failed { code: format!("status {}", reply.status), is_lost: true });
        }
        if memmem::find(reply.body, b"\"errors\"").is_some() {
            let answer: Value = serde_json::from_slice(reply.body).unwrap_or_default();
            let code = answer.pointer("/errors/0/extensions/code").and_then(Value::as_str);
            return Err(Failed {
                code: code.unwrap_or("an error without a code").to_owned(),
                is_lost: false,
            });
        }
        if !needed {
            return Ok(Value::Null);
        }
        let mut answer: Value = serde_json::from_slice(reply.body).map_err(|error| lost(error.into()))?;
        Ok(answer["data"].take())
    }
}

/// 0 and what to do next, or 1 and what was done last, to be undone.
fn by_turns(last: &mut Option<Id>, ids: &[Id]) -> (usize, Id) {
    if let Some(id) = last.take() { (1, id) } else { (0, *last.insert(draw(ids))) }
}

fn draw(ids: &[Id]) -> Id {
    ids[rand::rng().random_range(0..ids.len())]
}

fn any(ids: &[Id]) -> String {
    text_of(&draw(ids))
}

fn text_of(id: &Id) -> String {
    String::from_utf8_lossy(id).into_owned()
}
