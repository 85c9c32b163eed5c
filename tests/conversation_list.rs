//! A list of conversations costs each shard one query a table, however much is in it.

use std::collections::HashMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use fowergram::app::Role;
use serde_json::{Value, json};

use crate::harness::client::{Client, Person};
use crate::harness::{SHARDS, World, eventually};

const LIST: &str = "{ viewer { conversations(first: 20) { unreadCount nodes {
    id unreadCount title lastMessage { text sender { username } } members(first: 10) { nodes { username } }
    } } } }";
/// What a list is made of.
const TABLES: [&str; 6] = ["inbox", "conversations", "members", "messages", "users", "posts"];
const CONVERSATIONS: usize = 20;
const UNREAD: usize = 5;

/// The log of a server, read from here on.
struct Log {
    file: std::fs::File,
}

impl Log {
    fn at_end(path: PathBuf) -> Self {
        let mut file = std::fs::File::open(path).expect("a log");
        file.seek(SeekFrom::End(0)).expect("its end");
        Self { file }
    }

    /// How many statements were run that name each of the tables.
    fn statements(&self) -> HashMap<&'static str, usize> {
        let mut text = String::new();
        (&self.file).read_to_string(&mut text).expect("the log");
        let text = text.to_lowercase().replace('"', "");
        let mut counts = HashMap::new();
        // A statement goes on over lines that begin with a tab.
        for statement in text.replace("\n\t", " ").lines() {
            let Some((_, sql)) = statement.split_once("log:  execute ") else { continue };
            let words: Vec<&str> = sql.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
            for table in TABLES {
                let names =
                    words.windows(2).any(|pair| matches!(pair[0], "from" | "join") && pair[1] == table);
                *counts.entry(table).or_default() += usize::from(names);
            }
        }
        counts
    }
}

async fn shown(who: &Person) -> Value {
    let mut data = who.client.data(LIST, json!({})).await;
    data["viewer"]["conversations"].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_conversations_take_one_query_a_table_and_shard() {
    let world = World::alone().await;
    let (_, address) = world.api().await;
    let worker = world.process(Role::Worker).await;
    let client = Client::new(address);
    let ada = client.sign_up("ada").await;
    let mut people = Vec::new();
    for number in 0..CONVERSATIONS / 2 {
        people.push(client.sign_up(&format!("person{number}")).await);
    }
    // Half of them with one, half with all.
    for (number, person) in people.iter().enumerate() {
        let group: Vec<&Person> = std::iter::once(&ada).chain(people.iter().skip(1)).collect();
        let group = people[0].start(&group, Some(&format!("Group {number}"))).await;
        for message in 0..UNREAD {
            person.write(json!({ "userId": ada.id }), &format!("{number} {message}")).await;
            person.write(json!({ "conversationId": group }), &format!("{number} {message}")).await;
        }
    }
    let unread = |list: &Value| {
        let nodes = list["nodes"].as_array().expect("nodes");
        nodes.iter().map(|node| node["unreadCount"].as_u64().expect("a number")).sum::<u64>()
    };
    eventually("all is delivered", async || {
        (unread(&shown(&ada).await) == (CONVERSATIONS * UNREAD) as u64).then_some(())
    })
    .await;
    world.settle().await;
    // Its jobs read the same tables.
    worker.stop().await;

    let servers = world.servers().postgres();
    for server in servers {
        server.execute("postgres", "alter system set log_statement = 'all'").await.expect("set");
        server.execute("postgres", "select pg_reload_conf()").await.expect("read again");
    }
    let logs: Vec<Log> = servers.iter().map(|server| Log::at_end(server.log().to_owned())).collect();
    eventually("each server logs what it does", async || {
        shown(&ada).await;
        let seen: usize = logs.iter().map(|log| log.statements().values().sum::<usize>()).sum();
        (seen > SHARDS).then_some(())
    })
    .await;
    let list = shown(&ada).await;
    let counts: Vec<HashMap<_, _>> = logs.iter().map(Log::statements).collect();
    assert_eq!(list["unreadCount"], CONVERSATIONS);
    assert_eq!(list["nodes"].as_array().map(Vec::len), Some(CONVERSATIONS));
    let node = list["nodes"].as_array().expect("nodes").iter().find(|node| node["title"] == "Group 3");
    let node = node.expect("a group");
    assert_eq!(node["lastMessage"], json!({ "text": "3 4", "sender": { "username": "person3" } }));
    assert_eq!(node["members"]["nodes"].as_array().map(Vec::len), Some(10));
    for (shard, counts) in counts.iter().enumerate() {
        assert!(counts.values().all(|count| *count <= 1), "shard {shard}: {counts:?}");
    }
    let sum = |table| counts.iter().map(|counts| counts[table]).sum::<usize>();
    assert_eq!(sum("inbox"), 1);
    for table in ["conversations", "members", "messages", "users"] {
        assert!(sum(table) >= 2, "{table} is seen in the logs: {counts:?}");
    }
    world.close().await;
}
