//! Everything breaks while people write and listen; at the end each listener knows what is stored.

mod ledger;
mod listener;
mod system;
mod writer;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fowergram::app::Role;
use futures_util::future::join_all;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::ledger::Stored;
use self::listener::{FOLDER, Listener, Node};
use self::system::{Api, break_things};
use self::writer::{Board, Writer};
use crate::harness::World;
use crate::harness::client::{Client, Person};

/// Of all chance.
const SEED: u64 = 42;
const WRITERS: usize = 20;
const CONVERSATIONS: usize = 10;
const LISTENERS: usize = 50;
/// Takes part in each conversation.
const MEMBERS: usize = 8;
/// How long each thing breaks once.
const ROUND: u64 = 15;

/// Half a minute and more is for `make torture`.
fn seconds() -> u64 {
    std::env::var("TORTURE_SECONDS").map_or(ROUND, |seconds| seconds.parse().expect("TORTURE_SECONDS"))
}

/// Opens a conversation of these people, in which each has written: a group, or the thread of a post; its id.
async fn open(members: &[&Person], number: usize) -> String {
    let title = format!("conversation {number}");
    let to = if number.is_multiple_of(2) {
        json!({ "conversationId": members[0].start(&members[1..], Some(&title)).await })
    } else {
        json!({ "postId": members[0].client.post(&title).await })
    };
    let mut id = String::new();
    for member in members {
        (id, _) = member.write(to.clone(), "here").await;
    }
    id
}

/// Who is there, and the conversations with their members.
struct Participants {
    people: Vec<Person>,
    conversations: Vec<(String, Vec<usize>)>,
}

impl Participants {
    async fn gather(at: SocketAddr) -> Self {
        let client = &Client::new(at);
        let people = join_all(
            (0..WRITERS).map(|number| async move { client.sign_up(&format!("writer{number}")).await }),
        )
        .await;
        let opened = (0..CONVERSATIONS).map(|number| {
            let members: Vec<usize> = (0..MEMBERS).map(|place| (number + 3 * place) % WRITERS).collect();
            let people = &people;
            async move {
                let persons: Vec<&Person> = members.iter().map(|member| &people[*member]).collect();
                (open(&persons, number).await, members)
            }
        });
        let conversations = join_all(opened).await;
        Self { people, conversations }
    }

    fn writers<'a>(&self, apis: [SocketAddr; 2], board: &'a Board) -> Vec<Writer<'a>> {
        let people = self.people.iter().enumerate();
        let writers = people.map(|(number, person)| {
            let own = self.conversations.iter().filter(|(_, members)| members.contains(&number));
            let own = own.map(|(id, _)| id.clone()).collect();
            Writer::new(number, person.clone(), apis, own, board)
        });
        writers.collect()
    }

    fn listeners(&self, apis: [SocketAddr; 2]) -> Vec<Listener> {
        let listeners = (0..LISTENERS).map(|number| {
            let (conversation, members) = &self.conversations[number % CONVERSATIONS];
            let person = &self.people[members[number / CONVERSATIONS]];
            let at = apis.map(|address| person.at(address));
            Listener { at, conversation: conversation.clone(), ledger: Arc::default() }
        });
        listeners.collect()
    }
}

/// Has somebody write to each conversation until all who listen to it have heard.
async fn all_hear(listeners: &[Listener], writers: &mut [Writer<'_>], participants: &Participants) {
    for (conversation, members) in &participants.conversations {
        let ears = || listeners.iter().filter(|listener| listener.conversation == *conversation);
        while ears().any(|listener| listener.ledger.len() == 0) {
            writers[members[0]].send(conversation).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Writes a last message to each conversation, and waits until each listener has heard it. What one still
/// lacks after a minute, its check will name.
async fn all_heard(listeners: &[Listener], writers: &mut [Writer<'_>], participants: &Participants) {
    let mut last = BTreeMap::new();
    for (conversation, members) in &participants.conversations {
        last.insert(conversation.clone(), writers[members[0]].send(conversation).await);
    }
    let has_heard = |listener: &Listener| listener.ledger.has_heard(&last[&listener.conversation]);
    let deadline = Instant::now() + Duration::from_mins(1);
    while !listeners.iter().all(has_heard) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Each message that was acknowledged is stored once, and no other is.
fn none_is_lost(board: &Board, stored: &BTreeMap<String, Stored>) {
    for (conversation, mut acknowledged) in board.take() {
        let ids: Vec<&String> = stored[&conversation].ids().collect();
        acknowledged.sort_unstable();
        let sent = acknowledged.len();
        acknowledged.dedup();
        assert_eq!(acknowledged.len(), sent, "two requests got the same message");
        assert!(acknowledged.iter().all(|id| ids.contains(&id)), "an acknowledged message is lost");
        assert_eq!(ids.len(), sent + MEMBERS, "a message is stored twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_know_what_is_stored_whatever_breaks() {
    let rounds = usize::try_from(seconds().div_ceil(ROUND)).expect("few");
    let without_nats = Duration::from_secs(if rounds > 1 { 5 } else { 2 });
    let world = World::alone().await;
    world.process(Role::Worker).await;
    let mut apis = [Api::start(&world).await, Api::start(&world).await];
    let addresses = [apis[0].address, apis[1].address];
    let participants = Participants::gather(addresses[0]).await;
    let (board, stop) = (Board::default(), AtomicBool::new(false));
    let mut writers = participants.writers(addresses, &board);
    let listeners = participants.listeners(addresses);

    let mut ears = JoinSet::new();
    let (own, clients) = listeners.split_at(LISTENERS / 2);
    ears.spawn(Node::start(clients.to_vec()).await.listen());
    for (number, listener) in own.iter().enumerate() {
        ears.spawn(listener.clone().listen(number));
    }
    let story = async {
        all_hear(&listeners, &mut writers, &participants).await;
        let write = join_all(writers.iter_mut().map(|writer| writer.write(&stop)));
        let harm = async {
            break_things(&world, &mut apis, rounds, without_nats).await;
            stop.store(true, Ordering::Relaxed);
        };
        let (done, ()) = tokio::join!(write, harm);
        all_heard(&listeners, &mut writers, &participants).await;
        done.into_iter().sum::<usize>()
    };
    let done = tokio::select! {
        done = story => done,
        ended = ears.join_next() => panic!("a listener ended: {ended:?}"),
    };
    ears.shutdown().await;

    let stored = Stored::read(&world).await;
    none_is_lost(&board, &stored);
    for (number, listener) in listeners.iter().enumerate() {
        let whose = if number < LISTENERS / 2 { "own" } else { "graphql-ws" };
        listener.ledger.check(&format!("listener {number} ({whose})"), &stored[&listener.conversation]);
    }
    let heard: usize = listeners.iter().map(|listener| listener.ledger.len()).sum();
    println!("{done} things done, {heard} events heard");
    drop(apis);
    world.close().await;
}

/// The documented way to resume is the one that was tortured.
#[test]
fn the_documented_client_is_the_tested_one() {
    let code = std::fs::read_to_string(format!("{FOLDER}/resume.mjs")).expect("the code");
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/API.md")).expect("the page");
    assert!(
        page.contains(&format!("```js\n{code}```\n")),
        "docs/API.md does not show tests/torture/resume.mjs"
    );
}
