//! People who write to conversations and listen to them, and what each was told.

mod ledger;
mod listener;
mod writer;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::Instant;

use super::client::{Client, Person};
use super::{PATIENCE, World};
pub use ledger::STREAM;
use ledger::Stored;
pub use listener::Listener;
use writer::Board;
pub use writer::{Apis, Writer};

/// Of all chance.
pub const SEED: u64 = 42;
const WRITERS: usize = 20;
const CONVERSATIONS: usize = 10;
/// Takes part in each conversation.
const MEMBERS: usize = 8;

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

/// Who is there: people, the conversations that they have with one another, and who listens to these.
pub struct Crowd {
    people: Vec<Person>,
    /// Each with its members, by their places among the people.
    conversations: Vec<(String, Vec<usize>)>,
    pub listeners: Vec<Listener>,
    board: Board,
}

impl Crowd {
    /// Signs people up and opens their conversations. So many listen, each as a member of one conversation.
    pub async fn gather(at: SocketAddr, listeners: usize) -> Self {
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
        let listener = |number: usize| {
            let (conversation, members): &(String, Vec<usize>) = &conversations[number % CONVERSATIONS];
            let person = people[members[number / CONVERSATIONS % MEMBERS]].clone();
            Listener { person, conversation: conversation.clone(), ledger: Arc::default() }
        };
        let listeners = (0..listeners).map(listener).collect();
        Self { people, conversations, listeners, board: Board::default() }
    }

    /// All people, as those who write.
    pub fn writers(&self, apis: Apis) -> Vec<Writer<'_>> {
        let people = self.people.iter().enumerate();
        let writers = people.map(|(number, person)| {
            let own = self.conversations.iter().filter(|(_, members)| members.contains(&number));
            let own = own.map(|(id, _)| id.clone()).collect();
            Writer::new(number, person.clone(), apis, own, &self.board)
        });
        writers.collect()
    }

    /// Has somebody write to each conversation until all who listen to it have heard.
    pub async fn all_hear(&self, writers: &mut [Writer<'_>]) {
        for (conversation, members) in &self.conversations {
            let ears = || self.listeners.iter().filter(|listener| listener.conversation == *conversation);
            while ears().any(|listener| listener.ledger.len() == 0) {
                writers[members[0]].send(conversation).await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Writes a last message to each conversation, and waits until each listener has heard it. What one still
    /// lacks then, its check will name.
    pub async fn all_have_heard(&self, writers: &mut [Writer<'_>]) {
        let mut last = BTreeMap::new();
        for (conversation, members) in &self.conversations {
            last.insert(conversation.clone(), writers[members[0]].send(conversation).await);
        }
        let has_heard = |listener: &Listener| listener.ledger.has_heard(&last[&listener.conversation]);
        let deadline = Instant::now() + PATIENCE;
        while !self.listeners.iter().all(has_heard) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Each message that was acknowledged is stored once, no other is, and each listener knows what is stored; how many
    /// events they heard.
    pub async fn check(&self, world: &World) -> usize {
        let stored = Stored::read(world).await;
        for (conversation, mut acknowledged) in self.board.take() {
            let ids: Vec<&String> = stored[&conversation].ids().collect();
            acknowledged.sort_unstable();
            let sent = acknowledged.len();
            acknowledged.dedup();
            assert_eq!(acknowledged.len(), sent, "two requests got the same message");
            assert!(acknowledged.iter().all(|id| ids.contains(&id)), "an acknowledged message is lost");
            assert_eq!(ids.len(), sent + MEMBERS, "a message is stored twice");
        }
        for (number, listener) in self.listeners.iter().enumerate() {
            listener.ledger.check(&format!("listener {number}"), &stored[&listener.conversation]);
        }
        self.listeners.iter().map(|listener| listener.ledger.len()).sum()
    }
}
