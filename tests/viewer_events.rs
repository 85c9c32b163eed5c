//! Everything for somebody on one stream.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::client::{Person, Socket, text};
use crate::harness::{World, eventually};

const EVENTS: &str = "subscription ($topics: [EventTopic!], $after: Cursor) {
    viewerEvents(topics: $topics, after: $after) { __typename cursor replayed
        ... on MessageEvent { change message { text conversation { id } } }
        ... on ReadEvent { conversationId marker { user { username } seq } }
        ... on NotificationEvent { notification { kind } }
        ... on FollowEvent { user { username } state }
        ... on FeedEvent { post { id } removedId }
        ... on SessionEvent { reason }
        ... on StreamGap { reason resumeFrom } } }";
const READ: &str = "mutation ($id: ID!, $seq: Int!) { markConversationRead(id: $id, seq: $seq) {
    conversation { id } } }";

async fn listen(who: &Person, topics: Option<&[&str]>, after: Option<&str>) -> Socket {
    let mut socket = who.client.socket().await;
    socket.subscribe(EVENTS, json!({ "topics": topics, "after": after })).await;
    socket
}

async fn next(socket: &mut Socket) -> Value {
    socket.event().await["viewerEvents"].take()
}

/// The next events, as many as there are here, by what they are.
async fn gather(socket: &mut Socket, count: usize) -> (Vec<Value>, String) {
    let mut events = Vec::new();
    let mut cursor = String::new();
    for _ in 0..count {
        let event = next(socket).await;
        cursor = text(&event["cursor"]);
        events.push(event);
    }
    (events, cursor)
}

fn kinds(events: &[Value]) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for event in events {
        *kinds.entry(text(&event["__typename"])).or_default() += 1;
    }
    kinds
}

fn counts<const N: usize>(kinds: [(&str, usize); N]) -> BTreeMap<String, usize> {
    kinds.map(|(kind, count)| (kind.to_owned(), count)).into()
}

/// Follows until it is told, so that the stream is known to be in force.
async fn warm_up(by: &Person, whom: &Person, socket: &mut Socket) -> String {
    by.follow(whom).await;
    // The notification, and the follow itself.
    gather(socket, 2).await.1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_topics_come_on_one_stream_and_survive_a_cut() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    ada.follow(&bob).await;
    // The feed is built anew behind it, which is to be over.
    crate::outage::drained(&world).await;
    let mut socket = listen(&ada, None, None).await;
    // The subscription is in force when this is answered.
    socket.subscribe("{ viewer { user { id } } }", json!({})).await;
    while socket.receive().await.expect("open")["type"] != "complete" {}
    let start = warm_up(&bob, &ada, &mut socket).await;

    let post = bob.client.post("hello").await;
    let (events, _) = gather(&mut socket, 1).await;
    assert_eq!(kinds(&events), counts([("FeedEvent", 1)]));
    let (conversation, _) = bob.write(json!({ "userId": ada.id }), "hi").await;
    let (events, _) = gather(&mut socket, 2).await;
    assert_eq!(kinds(&events), counts([("MessageEvent", 1), ("NotificationEvent", 1)]), "{events:?}");
    ada.client.data(READ, json!({ "id": conversation, "seq": 1 })).await;
    let (events, _) = gather(&mut socket, 1).await;
    assert_eq!(events[0]["marker"], json!({ "user": { "username": "ada" }, "seq": 1 }));
    ada.write(json!({ "conversationId": conversation }), "hello Bob").await;
    let (events, _) = gather(&mut socket, 1).await;
    assert_eq!(events[0]["message"]["text"], "hello Bob");
    bob.client.data(READ, json!({ "id": conversation, "seq": 2 })).await;
    let (events, cursor) = gather(&mut socket, 1).await;
    assert_eq!(events[0]["marker"], json!({ "user": { "username": "bob" }, "seq": 2 }));
    socket.cut();

    // While she is away, of everything some.
    bob.delete_post(&post).await;
    bob.write(json!({ "conversationId": conversation }), "are you there?").await;
    bob.unfollow(&ada).await;
    bob.follow(&ada).await;
    world.settle().await;
    let mut socket = listen(&ada, None, Some(&cursor)).await;
    let (events, _) = gather(&mut socket, 3).await;
    // A follow that goes off and on again was told before.
    let expected = [("FeedEvent", 1), ("MessageEvent", 1), ("NotificationEvent", 1)];
    assert_eq!(kinds(&events), counts(expected), "{events:?}");
    let logged = events.iter().filter(|event| event["__typename"] != "FeedEvent");
    assert!(logged.into_iter().all(|event| event["replayed"] == true), "{events:?}");
    socket.cut();
    // From the beginning once more: the same.
    let mut socket = listen(&ada, Some(&["MESSAGE", "READ"]), Some(&start)).await;
    let (events, _) = gather(&mut socket, 5).await;
    let told: Vec<Value> = events.iter().map(|event| event["message"]["text"].clone()).collect();
    assert_eq!(told, [json!("hi"), Value::Null, json!("hello Bob"), Value::Null, json!("are you there?")]);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_longer_for_the_viewer_is_left_out() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let group = ada.start(&[&bob], Some("Two")).await;
    let topics: &[&str] = &["MESSAGE"];
    let mut socket = listen(&bob, Some(topics), None).await;
    socket.subscribe("{ viewer { user { id } } }", json!({})).await;
    while socket.receive().await.expect("open")["type"] != "complete" {}
    ada.write(json!({ "conversationId": group }), "one").await;
    let (events, cursor) = gather(&mut socket, 1).await;
    assert_eq!(events[0]["message"]["text"], "one");
    socket.cut();
    ada.write(json!({ "conversationId": group }), "two").await;
    world.settle().await;
    ada.set_member(&group, &bob, false).await;
    ada.write(json!({ "userId": bob.id }), "three").await;
    let mut socket = listen(&bob, Some(topics), Some(&cursor)).await;
    let (events, _) = gather(&mut socket, 1).await;
    assert_eq!(events[0]["message"]["text"], "three", "two was in his log, and is not his any more");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_on_a_dead_shard_keeps_nothing_else_waiting() {
    let world = World::alone().await;
    let client = world.system().await;
    let ada = world.person_on(&client, 0).await;
    let bob = world.person_on(&client, 1).await;
    // A group of theirs on a shard that will die, and another.
    let (mut dead, mut alive) = (None, None);
    while dead.is_none() || alive.is_none() {
        let group = bob.start(&[&ada], Some("Group")).await;
        match world.owner(&group) {
            2 => dead = Some(group),
            _ => alive = Some(group),
        }
    }
    let (dead, alive) = (dead.expect("one"), alive.expect("one"));
    let topics: &[&str] = &["MESSAGE"];
    let mut socket = listen(&ada, Some(topics), None).await;
    socket.subscribe("{ viewer { user { id } } }", json!({})).await;
    while socket.receive().await.expect("open")["type"] != "complete" {}
    bob.write(json!({ "conversationId": dead }), "begin").await;
    let (_, cursor) = gather(&mut socket, 1).await;
    socket.cut();
    bob.write(json!({ "conversationId": dead }), "one").await;
    world.settle().await;
    bob.write(json!({ "conversationId": alive }), "two").await;
    world.settle().await;
    world.servers().postgres()[2].kill().await;
    let mut socket = listen(&ada, Some(topics), Some(&cursor)).await;
    let gap = next(&mut socket).await;
    assert_eq!((&gap["__typename"], &gap["reason"]), (&json!("StreamGap"), &json!("SHARD_UNAVAILABLE")));
    assert_eq!(next(&mut socket).await["message"]["text"], "two");
    // Who comes back where the gap says is told what was left out.
    world.servers().postgres()[2].start().await.expect("it starts");
    eventually("the shard is back", async || {
        let mut socket = listen(&ada, Some(topics), Some(&text(&gap["resumeFrom"]))).await;
        let event = next(&mut socket).await;
        (event["__typename"] != "StreamGap").then(|| assert_eq!(event["message"]["text"], "one"))
    })
    .await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_session_is_told_first() {
    let world = World::new().await;
    let client = world.system().await;
    let ada = client.sign_up("ada").await;
    let mut socket = listen(&ada, None, None).await;
    socket.subscribe("{ viewer { user { id } } }", json!({})).await;
    while socket.receive().await.expect("open")["type"] != "complete" {}
    ada.client.data("mutation { signOut { ok } }", json!({})).await;
    let event = next(&mut socket).await;
    assert_eq!((&event["__typename"], &event["reason"]), (&json!("SessionEvent"), &json!("TOKEN_REVOKED")));
    assert_eq!(socket.receive().await, Err(4403));
    world.close().await;
}
