//! What a listener was told, and whether that is what is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use serde_json::Value;

use crate::harness::client::text;
use crate::harness::{SHARDS, World};

/// What listeners subscribe to.
pub const STREAM: &str = "subscription ($id: ID!, $after: Cursor) {
    messageAdded(conversationId: $id, after: $after) { __typename cursor
        ... on MessageEvent { change message { id seq text isDeleted reactions { emoji count } } } } }";

/// A message as somebody knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    text: Option<String>,
    is_deleted: bool,
    reactions: BTreeMap<String, i64>,
}

/// One event.
#[derive(Debug, Clone)]
struct Told {
    change: String,
    message: String,
    seq: i64,
    state: State,
}

impl Told {
    fn read(event: &Value) -> Self {
        let message = &event["message"];
        let reactions = message["reactions"].as_array().expect("reactions").iter();
        let reactions =
            reactions.map(|given| (text(&given["emoji"]), given["count"].as_i64().expect("a count")));
        let state = State {
            text: message["text"].as_str().map(str::to_owned),
            is_deleted: message["isDeleted"] == true,
            reactions: reactions.collect(),
        };
        Self {
            change: text(&event["change"]),
            message: text(&message["id"]),
            seq: message["seq"].as_i64().expect("a number"),
            state,
        }
    }
}

/// All that one listener was told, in order.
#[derive(Default)]
pub struct Ledger(Mutex<Pages>);

#[derive(Default)]
struct Pages {
    told: Vec<Told>,
    /// Of all events, also of those that are not of messages.
    cursors: Vec<String>,
}

impl Ledger {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().expect("no panic")
    }

    pub fn note(&self, event: &Value) {
        let mut pages = self.pages();
        pages.cursors.push(text(&event["cursor"]));
        match event["__typename"].as_str() {
            Some("MessageEvent") => pages.told.push(Told::read(event)),
            Some("ReadEvent") => {}
            _ => panic!("{event}"),
        }
    }

    pub fn len(&self) -> usize {
        self.pages().cursors.len()
    }

    /// The cursor of the last event.
    pub fn cursor(&self) -> Option<String> {
        self.pages().cursors.last().cloned()
    }

    pub fn has_heard(&self, message: &str) -> bool {
        self.pages().told.iter().any(|told| told.message == message)
    }

    /// Holds what was told against what is stored.
    pub fn check(&self, who: &str, stored: &Stored) {
        let Pages { told, cursors } = &*self.pages();
        let first = told.first().unwrap_or_else(|| panic!("{who} was told nothing")).seq;
        let mut wrong = Vec::new();
        let (mut sent, mut last) = (Vec::new(), BTreeMap::new());
        if cursors.iter().collect::<BTreeSet<_>>().len() < cursors.len() {
            wrong.push("an event came twice".to_owned());
        }
        for one in told {
            if one.change == "SENT" {
                sent.push(one.seq);
            } else if one.seq >= first && !sent.contains(&one.seq) {
                wrong.push(format!("changed before it was sent: {one:?}"));
            }
            if !stored.messages.contains_key(&one.message) {
                wrong.push(format!("of another conversation: {one:?}"));
            }
            last.insert(&one.message, &one.state);
        }
        let wanted: Vec<i64> = (first..=stored.seq).collect();
        if sent != wanted {
            let at = sent.iter().zip(&wanted).take_while(|(one, other)| one == other).count();
            let shown = &sent[at.saturating_sub(2)..sent.len().min(at + 8)];
            wrong.push(format!(
                "not once and in order, from number {}: {shown:?}",
                wanted[at.min(wanted.len() - 1)]
            ));
        }
        for (message, (seq, state)) in &stored.messages {
            // Of what was there before the listener came, only changes are told.
            if last.get(message).map_or(*seq >= first, |told| *told != state) {
                wrong.push(format!("{seq} is {state:?}, and was told as {:?}", last.get(message)));
            }
        }
        assert!(wrong.is_empty(), "{who}: {} faults in {} events: {:#?}", wrong.len(), told.len(), {
            wrong.truncate(8);
            wrong
        });
    }
}

/// A conversation as its shard has it.
#[derive(Default)]
pub struct Stored {
    /// Each message's number and state, by its id.
    messages: BTreeMap<String, (i64, State)>,
    /// The number of the last message.
    seq: i64,
}

impl Stored {
    /// All conversations, by their ids. Fails where numbers have holes.
    pub async fn read(world: &World) -> BTreeMap<String, Self> {
        let sql = "select conversation_id, id, seq, text, deleted_at is not null as is_deleted, (
                select coalesce(jsonb_object_agg(emoji, given), '{}') from (
                    select emoji, count(*) as given from reactions where message_id = m.id group by emoji) counted
            ) as reactions from messages m";
        let mut all: BTreeMap<String, Self> = BTreeMap::new();
        for shard in 0..SHARDS {
            for row in world.rows(shard, sql).await {
                let reactions = row["reactions"].as_object().expect("an object").iter();
                let reactions =
                    reactions.map(|(emoji, count)| (emoji.clone(), count.as_i64().expect("a count")));
                let state = State {
                    text: row["text"].as_str().map(str::to_owned),
                    is_deleted: row["is_deleted"] == true,
                    reactions: reactions.collect(),
                };
                let seq = row["seq"].as_i64().expect("a number");
                let stored = all.entry(text(&row["conversation_id"])).or_default();
                stored.messages.insert(text(&row["id"]), (seq, state));
                stored.seq = stored.seq.max(seq);
            }
        }
        for (id, stored) in &all {
            let numbers: BTreeSet<i64> = stored.messages.values().map(|(seq, _)| *seq).collect();
            assert!(numbers.into_iter().eq(1..=stored.seq), "holes in the numbers of {id}");
        }
        all
    }

    pub fn ids(&self) -> impl Iterator<Item = &String> {
        self.messages.keys()
    }
}
