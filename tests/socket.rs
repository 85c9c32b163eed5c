//! The life of a socket: who may have one, how long, and how it ends.

mod drain;
mod slow;
mod token;

use fowergram::app::Role;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::harness::client::{Client, Closed, Socket};
use crate::harness::{World, eventually};

pub const LISTEN: &str = "subscription { newNotification { cursor } }";
const WHO: &str = "{ viewer { user { username } } }";

fn closed(code: u16, reason: &str) -> Closed {
    (code, reason.to_owned())
}

/// The answer to a ping, which comes behind the answers to all that was said before.
async fn pong(socket: &mut Socket) {
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.receive().await, Ok(json!({ "type": "pong" })));
}

/// A frame of the server, past the client's library: its kind and what it holds.
async fn frame(connection: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    connection.read_exact(&mut head).await.expect("a frame");
    assert!(head[1] <= 125, "a control frame");
    let mut payload = vec![0; head[1].into()];
    connection.read_exact(&mut payload).await.expect("a whole frame");
    (head[0] & 0xf, payload)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gives_no_sign_of_life_is_shut_out() {
    const CLOSE: u8 = 8;
    const PING: u8 = 9;
    let world = World::new().await;
    let client = world.system().await.sign_up("listener").await.client;
    let mut silent = client.socket().await.into_silence();
    let mut answering = client.socket().await;
    let end = async {
        let mut pings = 0;
        loop {
            match frame(&mut silent).await {
                (PING, _) => pings += 1,
                (CLOSE, payload) => return (pings, payload),
                other => panic!("{other:?}"),
            }
        }
    };
    let (pings, payload) = tokio::select! {
        end = end => end,
        message = answering.receive() => panic!("{message:?}"),
    };
    assert_eq!(pings, 1, "it was asked once");
    assert_eq!(payload, [&1013_u16.to_be_bytes()[..], b"The client is silent"].concat());
    // Who only answers, stays; its own pings are answered as well.
    pong(&mut answering).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_has_few_operations() {
    let world = World::new().await;
    let client = world.system().await.sign_up("listener").await.client;
    let mut socket = client.socket().await;
    let mut first = String::new();
    for _ in 0..32 {
        first = socket.subscribe(LISTEN, json!({})).await;
    }
    let more = socket.subscribe(WHO, json!({})).await;
    let refused = socket.receive().await.expect("open");
    assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!(more)));
    assert_eq!(refused["payload"][0]["extensions"]["code"], "RATE_LIMITED");
    socket.send(json!({ "type": "complete", "id": first })).await;
    socket.subscribe(WHO, json!({})).await;
    assert_eq!(socket.event().await["viewer"]["user"]["username"], "listener");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_few_sockets() {
    let world = World::new().await;
    let (_, address) = world.api_with(&["--max-sockets-per-user=3"]).await;
    world.process(Role::Worker).await;
    let stranger = Client::new(address);
    let (ada, bob) = (stranger.sign_up("ada").await.client, stranger.sign_up("bob").await.client);
    let too_many = || Some(closed(1013, "RATE_LIMITED"));
    let refused = async |client: &Client| client.try_socket().await.err();
    let status = async |answer: reqwest::Response| {
        let status = answer.status().as_u16();
        (status, crate::harness::client::code(&answer.json().await.expect("JSON")))
    };

    // A socket, a stream of its own and a reserved one.
    let socket = ada.socket().await;
    let own = ada.stream(LISTEN, json!({})).await;
    let token = ada.reserve_stream().await;
    let common = ada.open_stream(&token).await;
    assert_eq!(refused(&ada).await, too_many());
    let limited = (429, Some("RATE_LIMITED".to_owned()));
    assert_eq!(status(ada.try_stream(WHO, json!({})).await).await, limited);
    let answer = ada.stream_request(reqwest::Method::PUT).send().await.expect("an answer");
    assert_eq!(status(answer).await, limited);
    // Nobody else is touched by that.
    let _others = (bob.socket().await, stranger.socket().await, stranger.stream(LISTEN, json!({})).await);
    for _ in 0..4 {
        stranger.socket().await;
    }

    let free = async || {
        eventually("there is a place", async || ada.try_socket().await.ok()).await;
    };
    drop(own);
    free().await;
    drop(common);
    free().await;
    drop(socket);
    free().await;
    // All three are free again, and no more.
    let places = eventually("all three are free", async || {
        let places =
            [ada.try_socket().await.ok()?, ada.try_socket().await.ok()?, ada.try_socket().await.ok()?];
        Some(places)
    })
    .await;
    assert_eq!(refused(&ada).await, too_many());
    drop(places);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_suspended_or_signs_out_everywhere_has_no_sockets() {
    let world = World::new().await;
    let (app, here) = world.api().await;
    let (_, there) = world.api().await;
    world.process(Role::Worker).await;
    let client = Client::new(here);
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let sockets = async |person: &crate::harness::client::Person| {
        let phone = crate::session::sign_in(person, "phone").await;
        let people = [person.clone(), person.at(there), phone.clone(), phone.at(there)];
        futures_util::future::join_all(people.map(|person| async move { person.client.socket().await })).await
    };
    let revoked = closed(4403, "TOKEN_REVOKED");
    let (of_ada, of_bob) = (sockets(&ada).await, sockets(&bob).await);

    ada.client.data("mutation { signOut(allSessions: true) { ok } }", json!({})).await;
    for mut socket in of_ada {
        assert_eq!(socket.closed().await, revoked);
    }
    // Past the system: no API suspends anybody yet. Whatever does, ends the sessions in its transaction.
    let shard = app.domain().store.owner(bob.user_id().slot());
    let bob_id = bob.user_id().uuid();
    let suspend = format!(
        "begin; update users set state = 2 where id = '{bob_id}';
         update sessions set revoked_at = clock_timestamp() where user_id = '{bob_id}'; commit"
    );
    world.execute(shard, &suspend).await;
    for mut socket in of_bob {
        assert_eq!(socket.closed().await, revoked);
    }
    for client in [&ada.client, &bob.client, &bob.at(there).client] {
        assert_eq!(client.try_socket().await.err(), Some(revoked.clone()));
    }
    let input: Value = json!({ "login": "bob", "password": crate::harness::client::PASSWORD });
    let query = "mutation ($input: SignInInput!) { signIn(input: $input) { accessToken } }";
    assert_eq!(client.code(query, json!({ "input": input })).await, "ACCOUNT_SUSPENDED");
    world.close().await;
}
