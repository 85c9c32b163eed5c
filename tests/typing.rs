//! Who is typing: told to those who are there and may read it, and to nobody else.

use fowergram::model::Clock;
use fowergram::model::clock::to_millis;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::harness::client::{Person, Socket, code, text};
use crate::harness::{SHARDS, World};
use crate::live::system;

const TYPING: &str = "subscription ($id: ID!) { typing(conversationId: $id) { user { username } until } }";
const SET: &str = "mutation ($id: ID!) { setTyping(conversationId: $id) { ok } }";

async fn type_in(who: &Person, conversation: &str) {
    let data = who.client.data(SET, json!({ "id": conversation })).await;
    assert_eq!(data["setTyping"]["ok"], true);
}

/// Listens, and returns once the subscription is in force: this writer's typing was told.
async fn listen(who: &Person, conversation: &str, writer: &Person) -> Socket {
    let mut socket = who.client.socket().await;
    socket.subscribe(TYPING, json!({ "id": conversation })).await;
    let told = async {
        let event = socket.event().await;
        assert_eq!(event["typing"]["user"]["username"], writer.username);
    };
    let write = async {
        loop {
            type_in(writer, conversation).await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = told => {}
        () = write => {}
    }
    socket
}

/// The next who is told to be typing, and not `but`, of whom more may have been told.
async fn next(socket: &mut Socket, but: &Person) -> Value {
    loop {
        let event = socket.event().await["typing"].take();
        if event["user"]["username"] != but.username {
            return event;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_is_told_to_the_others() {
    let world = World::new().await;
    let (people, second) = system(&world, &["ada", "bob", "cyd"]).await;
    let [ada, bob, cyd] = people.as_slice() else { panic!("three people") };
    let (direct, _) = ada.write(json!({ "userId": bob.id }), "hello").await;
    let began = Clock::system().unix_millis();
    let mut to_bob = listen(&bob.at(second), &direct, ada).await;
    type_in(ada, &direct).await;
    let event = to_bob.event().await["typing"].take();
    let until = OffsetDateTime::parse(&text(&event["until"]), &Rfc3339).expect("a time");
    let said = to_millis(until) - 6_000;
    assert!((began..=Clock::system().unix_millis()).contains(&said), "{event}");

    // A post's thread is read by whoever sees the post; the other conversation is none of Cyd's.
    let post = ada.client.post("talk").await;
    let (thread, _) = ada.write(json!({ "postId": post }), "begin").await;
    let mut to_cyd = listen(cyd, &thread, bob).await;
    let mut to_ada = listen(&ada.at(second), &thread, bob).await;
    // One process hands on what it is told in order: Ada's typing came by before Cyd's.
    type_in(ada, &thread).await;
    type_in(cyd, &thread).await;
    assert_eq!(next(&mut to_cyd, bob).await["user"]["username"], "ada");
    assert_eq!(next(&mut to_ada, bob).await["user"]["username"], "cyd", "and not herself");
    assert_eq!(cyd.client.code(SET, json!({ "id": direct })).await, "NOT_FOUND");
    let mut socket = cyd.client.socket().await;
    socket.subscribe(TYPING, json!({ "id": direct })).await;
    let answer = socket.receive().await.expect("the socket is open");
    assert_eq!(code(&answer["payload"]).as_deref(), Some("NOT_FOUND"), "{answer}");
    world.close().await;
}

/// Reads up to the end of the only subscription; the code with which it ended. Nothing of `unseen` is told.
async fn end(socket: &mut Socket, unseen: &Person) -> Option<String> {
    let mut ended = None;
    loop {
        let message = socket.receive().await.expect("the socket is open");
        if message["type"] == "complete" {
            return ended;
        }
        assert_ne!(message["payload"]["data"]["typing"]["user"]["username"], json!(unseen.username));
        ended = code(&message["payload"]).or(ended);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_removed_hears_no_more() {
    let world = World::new().await;
    let (people, second) = system(&world, &["ada", "bob", "cyd"]).await;
    let [ada, bob, cyd] = people.as_slice() else { panic!("three people") };
    let group = ada.start(&[bob, cyd], Some("us")).await;
    let remove = async || {
        let answer = ada.set_member(&group, cyd, false).await;
        assert!(answer["errors"].is_null(), "{answer}");
    };
    // Nobody types any more: the group's counter tells that its members are others.
    let mut socket = listen(&cyd.at(second), &group, ada).await;
    remove().await;
    assert_eq!(end(&mut socket, bob).await.as_deref(), Some("NOT_FOUND"));

    // Nor does whoever types later reach the one who was not told so: out without a trace.
    ada.set_member(&group, cyd, true).await;
    let mut socket = listen(&cyd.at(second), &group, ada).await;
    for shard in 0..SHARDS {
        world.execute(shard, &format!("delete from members where user_id = '{}'", cyd.id)).await;
    }
    type_in(bob, &group).await;
    assert_eq!(end(&mut socket, bob).await.as_deref(), Some("NOT_FOUND"));
    for (document, variables) in [(SET, json!({ "id": group })), (TYPING, json!({ "id": group }))] {
        let mut socket = cyd.client.socket().await;
        socket.subscribe(document, variables).await;
        let answer = socket.receive().await.expect("the socket is open");
        assert_eq!(code(&answer["payload"]).as_deref(), Some("NOT_FOUND"), "{answer}");
    }
    world.close().await;
}
