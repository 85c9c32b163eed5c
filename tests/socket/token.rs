//! A socket lives as long as its token, and longer with a fresh one.

use serde_json::{Value, json};
use time::Duration;

use super::{LISTEN, closed};
use crate::harness::World;
use crate::harness::client::{Client, Person, Socket, text};
use crate::live::{MESSAGES, listen, next, warm_up};
use crate::session::{refresh, sign_in};

/// The same person with the next tokens of the session.
async fn refreshed(person: &Person) -> Person {
    let answer = refresh(&Client::new(person.client.address), &person.refresh_token).await;
    let tokens = &answer["data"]["refreshToken"];
    let client = Client { token: Some(text(&tokens["accessToken"])), ..person.client.clone() };
    Person { client, refresh_token: text(&tokens["refreshToken"]), ..person.clone() }
}

fn ping(authorization: &Value) -> Value {
    json!({ "type": "ping", "payload": { "authorization": authorization } })
}

fn bearer(client: &Client) -> Value {
    json!(format!("Bearer {}", client.token.as_deref().expect("a token")))
}

/// All that is told up to the message with this text, answers to pings apart.
async fn told_until(socket: &mut Socket, last: &str) -> (Vec<String>, Vec<Value>) {
    let (mut texts, mut others) = (Vec::new(), Vec::new());
    loop {
        let message = socket.receive().await.expect("open");
        if message["type"] == "next" {
            texts.push(text(&message["payload"]["data"]["messageAdded"]["message"]["text"]));
        } else {
            others.push(message);
        }
        if texts.last().is_some_and(|text| text == last) {
            return (texts, others);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_token_keeps_a_socket_and_what_runs_on_it() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let (conversation, _) = bob.write(json!({ "userId": ada.id }), "hello").await;
    let to = || json!({ "conversationId": conversation });
    let mut stays = listen(&ada, &conversation, None).await;
    let mut goes = ada.client.socket().await;
    warm_up(&bob, &conversation, &mut stays).await;

    world.clock.advance(Duration::minutes(14));
    let (ada, bob) = (refreshed(&ada).await, refreshed(&bob).await);
    let writing = async {
        for number in 0..20 {
            bob.write(to(), &number.to_string()).await;
        }
    };
    let ((), ()) = tokio::join!(stays.send(ping(&bearer(&ada.client))), writing);
    world.clock.advance(Duration::minutes(2));
    assert_eq!(goes.closed().await, closed(4403, "TOKEN_EXPIRED"));
    bob.write(to(), "20").await;
    let (texts, others) = told_until(&mut stays, "20").await;
    assert!(
        texts.iter().eq((0..=20).map(|number| number.to_string()).collect::<Vec<_>>().iter()),
        "{texts:?}"
    );
    assert_eq!(others, [json!({ "type": "pong" })], "the token does not come back");

    // Again. This one begins after the first token's end, and ends when a socket under that has long looked
    // at the clock.
    let mut goes = ada.client.socket().await;
    world.clock.advance(Duration::minutes(11));
    let (ada, bob) = (refreshed(&ada).await, refreshed(&bob).await);
    stays.send(ping(&bearer(&ada.client))).await;
    assert_eq!(stays.receive().await, Ok(json!({ "type": "pong" })));
    world.clock.advance(Duration::minutes(3));
    assert_eq!(goes.closed().await, closed(4403, "TOKEN_EXPIRED"));
    bob.write(to(), "21").await;
    assert_eq!(next(&mut stays).await["message"]["text"], "21");
    let id = stays.subscribe("{ viewer { user { username } } }", json!({})).await;
    let answer = stays.receive().await.expect("open");
    assert_eq!(
        (&answer["id"], &answer["payload"]["data"]["viewer"]["user"]["username"]),
        (&json!(id), &json!("ada"))
    );

    // It ends with the session, which is still the same.
    ada.client.data("mutation { signOut { ok } }", json!({})).await;
    assert_eq!(stays.closed().await, closed(4403, "TOKEN_REVOKED"));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_not_the_sessions_ends_the_socket() {
    let world = World::new().await;
    let client = world.system().await;
    let (first, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let phone = sign_in(&first, "phone").await;
    world.clock.advance(Duration::minutes(14));
    let (ada, bob, phone) = (refreshed(&first).await, refreshed(&bob).await, refreshed(&phone).await);
    world.clock.advance(Duration::minutes(2));
    for (authorization, code, reason) in [
        (bearer(&bob.client), 4403, "FORBIDDEN"),
        (bearer(&phone.client), 4403, "FORBIDDEN"),
        (bearer(&first.client), 4403, "TOKEN_EXPIRED"),
        (json!("Bearer nonsense"), 4403, "UNAUTHENTICATED"),
        (json!(""), 4403, "UNAUTHENTICATED"),
        (json!(1), 4400, "The token in the payload is not a text"),
    ] {
        let mut socket = ada.client.socket().await;
        socket.subscribe(LISTEN, json!({})).await;
        socket.send(ping(&authorization)).await;
        assert_eq!(socket.receive().await, Err(code), "{authorization}");
        let mut socket = ada.client.socket().await;
        socket.send(ping(&authorization)).await;
        assert_eq!(socket.closed().await, closed(code, reason), "{authorization}");
    }
    // Many clients leave the scheme out.
    let mut socket = ada.client.socket().await;
    socket.send(ping(&json!(ada.client.token))).await;
    assert_eq!(socket.receive().await, Ok(json!({ "type": "pong" })));
    // A stranger can't become somebody, and before `connection_init` there is nothing to renew.
    let mut socket = client.socket().await;
    socket.send(ping(&bearer(&ada.client))).await;
    assert_eq!(socket.closed().await, closed(4403, "FORBIDDEN"));
    let mut early = client.knock(crate::harness::client::PROTOCOL).await.expect("a socket");
    early.send(ping(&bearer(&ada.client))).await;
    assert_eq!(early.receive().await, Ok(json!({ "type": "pong" })));
    early.send(json!({ "type": "connection_init" })).await;
    assert_eq!(early.receive().await, Ok(json!({ "type": "connection_ack" })));
    early.subscribe(MESSAGES, json!({ "id": bob.id })).await;
    let refused = early.receive().await.expect("open");
    assert!(refused.to_string().contains("UNAUTHENTICATED"), "{refused}");
    world.close().await;
}
