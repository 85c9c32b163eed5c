//! Live streams over more than one process: nothing missing, nothing twice.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fowergram::app::Role;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::World;
use crate::harness::client::{Client, Person, Socket, text};

pub const MESSAGES: &str =
    "subscription ($id: ID!, $after: Cursor) { messageAdded(conversationId: $id, after: $after) {
    __typename cursor replayed ... on MessageEvent { change message { seq text sender { username } } } } }";
const NOTIFICATIONS: &str = "subscription ($after: Cursor) { newNotification(after: $after) {
    cursor ... on NotificationEvent { notification { kind } } } }";
const FEED: &str = "subscription ($after: Cursor) { feedUpdated(after: $after) { cursor } }";

/// Two API processes, a worker, and some people at the first.
pub async fn system(world: &World, names: &[&str]) -> (Vec<Person>, std::net::SocketAddr) {
    let (_, first) = world.api().await;
    let (_, second) = world.api().await;
    world.process(Role::Worker).await;
    let client = Client::new(first);
    let mut people = Vec::new();
    for name in names {
        people.push(client.sign_up(name).await);
    }
    (people, second)
}

pub async fn listen(who: &Person, conversation: &str, after: Option<&str>) -> Socket {
    let mut socket = who.client.socket().await;
    socket.subscribe(MESSAGES, json!({ "id": conversation, "after": after })).await;
    socket
}

pub async fn next(socket: &mut Socket) -> Value {
    socket.event().await["messageAdded"].take()
}

/// Writes until a first message is told, so that the subscription is known to be in force.
pub async fn warm_up(writer: &Person, conversation: &str, socket: &mut Socket) {
    let told = AtomicBool::new(false);
    let write = async {
        while !told.load(Ordering::Relaxed) {
            writer.write(json!({ "conversationId": conversation }), "warm").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        writer.write(json!({ "conversationId": conversation }), "go").await;
    };
    let read = async {
        loop {
            let text = next(socket).await["message"]["text"].take();
            told.store(true, Ordering::Relaxed);
            if text == "go" {
                return;
            }
        }
    };
    tokio::join!(write, read);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_reaches_a_listener_at_another_process() {
    let world = World::new().await;
    let (people, second) = system(&world, &["ada", "bob"]).await;
    let [ada, bob] = people.as_slice() else { panic!("two people") };
    let (conversation, _) = bob.write(json!({ "userId": ada.id }), "hello").await;
    let mut socket = listen(&ada.at(second), &conversation, None).await;
    warm_up(bob, &conversation, &mut socket).await;
    let mut took = Vec::new();
    for number in 0..50 {
        let started = tokio::time::Instant::now();
        let (_, seq) = bob.write(json!({ "conversationId": conversation }), &number.to_string()).await;
        let event = next(&mut socket).await;
        took.push(started.elapsed());
        assert_eq!(
            event["message"],
            json!({ "seq": seq, "text": number.to_string(), "sender": { "username": "bob" } })
        );
        assert_eq!((&event["change"], &event["replayed"]), (&json!("SENT"), &json!(false)));
    }
    took.sort();
    println!("from the request to the event: median {:?}, longest {:?}", took[25], took[49]);
    // Without a signal over NATS a change is found within seconds; this says that there was one.
    assert!(took[25] < Duration::from_millis(500), "{took:?}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missing_and_nothing_comes_twice() {
    const EACH: usize = 60;
    let world = World::new().await;
    let (people, second) = system(&world, &["ada", "bob", "cyd", "dan"]).await;
    let [ada, writers @ ..] = people.as_slice() else { panic!("people") };
    let post = ada.client.post("talk").await;
    let (thread, first) = ada.write(json!({ "postId": post }), "begin").await;
    assert_eq!(first, 1);
    let mut socket = listen(ada, &thread, None).await;
    warm_up(ada, &thread, &mut socket).await;
    let (_, start) = ada.write(json!({ "conversationId": thread }), "start").await;
    let mut last = text(&next(&mut socket).await["cursor"]);
    socket.cut();

    let write = join_all(writers.iter().enumerate().map(|(index, writer)| {
        // One at the other process.
        let writer = if index == 0 { writer.at(second) } else { writer.clone() };
        let to = json!({ "postId": post });
        async move {
            for number in 0..EACH {
                writer.write(to.clone(), &format!("{index} {number}")).await;
            }
        }
    }));
    let read = async {
        let (mut seen, mut turn) = (Vec::new(), 0);
        while seen.len() < 3 * EACH {
            // Here and there, by turns; each time cut after some more, once at once.
            let reader = if turn % 2 == 0 { ada.clone() } else { ada.at(second) };
            let mut socket = listen(&reader, &thread, Some(&last)).await;
            for _ in 0..(turn * 5) {
                if seen.len() == 3 * EACH {
                    break;
                }
                let event = next(&mut socket).await;
                assert_eq!(event["__typename"], "MessageEvent");
                last = text(&event["cursor"]);
                seen.push((event["message"]["seq"].as_i64(), text(&event["message"]["text"])));
            }
            socket.cut();
            turn += 1;
        }
        seen
    };
    let (_, seen) = tokio::join!(write, read);
    let numbers: Vec<i64> = seen.iter().map(|(seq, _)| seq.expect("a number")).collect();
    let wanted: Vec<i64> = (start + 1..).take(3 * EACH).collect();
    assert_eq!(numbers, wanted);
    for writer in 0..writers.len() {
        let own = seen.iter().filter(|(_, text)| text.starts_with(&format!("{writer} ")));
        let wanted = (0..EACH).map(|number| format!("{writer} {number}"));
        assert!(own.map(|(_, text)| text.clone()).eq(wanted), "those of writer {writer} in order");
    }
    // And nothing comes behind.
    let mut socket = listen(ada, &thread, Some(&last)).await;
    ada.write(json!({ "conversationId": thread }), "end").await;
    assert_eq!(next(&mut socket).await["message"]["text"], "end");
    world.close().await;
}

/// The code with which a subscription is refused.
async fn refusal(who: &Person, query: &str, variables: Value) -> String {
    let mut socket = who.client.socket().await;
    socket.subscribe(query, variables).await;
    let message = socket.receive().await.expect("the socket is open");
    let errors = if message["type"] == "error" { &message["payload"] } else { &message["payload"]["errors"] };
    text(&errors[0]["extensions"]["code"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_refuses_strangers_and_the_cursors_of_others() {
    let world = World::new().await;
    let (people, second) = system(&world, &["ada", "bob", "cyd"]).await;
    let [ada, bob, cyd] = people.as_slice() else { panic!("three people") };
    let (direct, _) = bob.write(json!({ "userId": ada.id }), "one").await;
    let (other, _) = cyd.write(json!({ "userId": ada.id }), "one").await;
    let mut socket = listen(ada, &direct, None).await;
    warm_up(bob, &direct, &mut socket).await;
    bob.write(json!({ "userId": ada.id }), "two").await;
    let cursor = text(&next(&mut socket).await["cursor"]);

    // Its own stream takes the cursor, at each process; another conversation, another kind and a list do not.
    let mut back = listen(&ada.at(second), &direct, Some(&cursor)).await;
    bob.write(json!({ "userId": ada.id }), "three").await;
    assert_eq!(next(&mut back).await["message"]["text"], "three");
    let code = refusal(ada, MESSAGES, json!({ "id": other, "after": cursor })).await;
    assert_eq!(code, "CURSOR_INVALID");
    for query in [NOTIFICATIONS, FEED] {
        assert_eq!(refusal(ada, query, json!({ "after": cursor })).await, "CURSOR_INVALID");
    }
    let query = "query ($id: ID!) { conversation(id: $id) { messages { pageInfo { endCursor } } } }";
    let data = ada.client.data(query, json!({ "id": direct })).await;
    let of_list = &data["conversation"]["messages"]["pageInfo"]["endCursor"];
    for after in [of_list, &json!("AQI"), &json!(&cursor[1..])] {
        let code = refusal(ada, MESSAGES, json!({ "id": direct, "after": after })).await;
        assert_eq!(code, "CURSOR_INVALID", "{after}");
    }

    // Cyd is no member, and does not learn that there is anything.
    for id in [json!(direct), json!(uuid::Uuid::new_v4()), json!(ada.id)] {
        let code = refusal(cyd, MESSAGES, json!({ "id": id })).await;
        let wanted = if id == json!(direct) { "NOT_FOUND" } else { "BAD_USER_INPUT" };
        assert_eq!(code, wanted, "{id}");
    }
    let query = "query ($id: ID!) { conversation(id: $id) { id } }";
    assert_eq!(cyd.client.data(query, json!({ "id": direct })).await["conversation"], Value::Null);
    let nobody = Person { client: Client { token: None, ..ada.client.clone() }, ..ada.clone() };
    assert_eq!(refusal(&nobody, MESSAGES, json!({ "id": direct })).await, "UNAUTHENTICATED");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_session_loses_its_sockets() {
    let world = World::new().await;
    let (people, second) = system(&world, &["ada", "bob"]).await;
    let [ada, bob] = people.as_slice() else { panic!("two people") };
    let query = "mutation ($input: SignInInput!) { signIn(input: $input) { accessToken } }";
    let input = json!({ "login": "ada", "password": crate::harness::client::PASSWORD });
    let data = ada.client.data(query, json!({ "input": input })).await;
    let token = Some(text(&data["signIn"]["accessToken"]));
    let phone = Person { client: Client { token, ..ada.client.clone() }, ..ada.clone() };

    let (conversation, _) = bob.write(json!({ "userId": ada.id }), "hello").await;
    let mut stays = listen(&phone.at(second), &conversation, None).await;
    let mut sockets = Vec::new();
    for reader in [ada.clone(), ada.at(second)] {
        let mut socket = listen(&reader, &conversation, None).await;
        warm_up(bob, &conversation, &mut socket).await;
        sockets.push(socket);
    }
    let started = tokio::time::Instant::now();
    ada.client.data("mutation { signOut { ok } }", json!({})).await;
    for socket in &mut sockets {
        // The first has messages left that were written for the second.
        let closed = loop {
            if let Err(code) = socket.receive().await {
                break code;
            }
        };
        assert_eq!(closed, 4403);
    }
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    for client in [&ada.client, &ada.at(second).client] {
        assert_eq!(client.code("{ viewer { email } }", json!({})).await, "TOKEN_REVOKED");
    }
    // The other session goes on.
    let (_, seq) = bob.write(json!({ "userId": ada.id }), "still there?").await;
    while next(&mut stays).await["message"]["seq"] != json!(seq) {}
    world.close().await;
}
