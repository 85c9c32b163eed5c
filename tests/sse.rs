//! GraphQL over server-sent events, in both modes of its protocol.

use std::time::{Duration, Instant};

use fowergram::app::Role;
use futures_util::future::{join, join_all};
use reqwest::header::ACCEPT;
use reqwest::{Method, Response};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::client::{Client, PROTOCOL, Person, code, text};
use crate::harness::events::{EventStream, TOKEN};
use crate::harness::{World, eventually, stack};

const WHO: &str = "{ viewer { user { username } } }";
const MESSAGES: &str =
    "subscription ($id: ID!, $after: Cursor) { messageAdded(conversationId: $id, after: $after) {
    cursor replayed ... on MessageEvent { message { text } } } }";
const LISTEN: &str = "subscription { newNotification { cursor } }";
pub const RENAME: &str = r#"mutation { updateProfile(input: { fullName: "Writer" }) { user { fullName } } }"#;

pub fn complete() -> (String, Value) {
    ("complete".to_owned(), Value::Null)
}

/// The status of a refusal and its code, where it has one.
async fn refusal(answer: Response) -> (u16, Option<String>) {
    let status = answer.status().as_u16();
    (status, code(&answer.json().await.expect("JSON")))
}

async fn assert_refused(answer: Response, status: u16, expected: &str) {
    assert_eq!(refusal(answer).await, (status, Some(expected.to_owned())));
}

/// Two people, and the conversation that they have.
async fn pair(client: &Client) -> (Person, Person, String) {
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let (conversation, _) = bob.write(json!({ "userId": ada.id }), "hello").await;
    (ada, bob, conversation)
}

/// Writes until something is told, so that the subscription is known to be in force, and skips what was
/// written for that.
async fn warm_up(writer: &Person, conversation: &str, stream: &mut EventStream) {
    let to = json!({ "conversationId": conversation });
    stream
        .told_of(async || {
            writer.write(to.clone(), "warm").await;
        })
        .await;
    writer.write(to, "go").await;
    loop {
        let event = stream.told().await;
        let data = if event["payload"].is_null() { &event["data"] } else { &event["payload"]["data"] };
        if data["messageAdded"]["message"]["text"] == "go" {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_has_a_stream_of_its_own() {
    let world = World::new().await;
    let client = &world.system().await;
    let ada = client.sign_up("ada").await.client;

    let who = ("next".to_owned(), json!({ "data": { "viewer": { "user": { "username": "ada" } } } }));
    assert_eq!(ada.stream(WHO, json!({})).await.rest().await, [who.clone(), complete()]);
    let renamed = ada.stream(RENAME, json!({})).await.rest().await;
    assert_eq!(renamed[0].1["data"]["updateProfile"]["user"]["fullName"], "Writer");
    assert_eq!(renamed[1..], [complete()]);
    let get = |query: &str| ada.stream_request(Method::GET).query(&[("query", query)]);
    let answer = get(WHO).send().await.expect("an answer").text().await.expect("a text");
    let events: Vec<&str> = answer.split("\n\n").collect();
    assert_eq!(events[0], ":", "some browsers wait for the first bytes");
    assert!(events[1].starts_with("event: next\ndata: {\"data\":"), "{answer}");
    assert_eq!(events[2], "event: complete\ndata: ", "{answer}");

    // A browser shows nothing of an answer that is no stream, so that a document's faults are in one.
    let fields: Vec<String> = (0..600).map(|number| format!("a{number}:__typename")).collect();
    let bomb = format!("{{{}}}", fields.join(" "));
    for (query, expected) in [
        ("{ nope }", "GRAPHQL_VALIDATION_FAILED"),
        ("{", "GRAPHQL_PARSE_FAILED"),
        (&bomb, "QUERY_TOO_COMPLEX"),
        ("subscription { messageAdded(conversationId: \"x\") { cursor } }", "BAD_USER_INPUT"),
    ] {
        let events = ada.stream(query, json!({})).await.rest().await;
        assert_eq!(code(&events[0].1).as_deref(), Some(expected), "{query}: {events:?}");
        assert_eq!(events[1..], [complete()], "{query}");
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_operation_is_refused_before_a_stream() {
    let world = World::new().await;
    let client = &world.system().await;
    let query = r#"mutation { signUp(input: { username: "mallory", email: "m@example.org",
        password: "olive harbour lantern 42" }) { accessToken } }"#;
    let body = json!({ "query": query }).to_string();

    let answer = client.stream_request(Method::GET).query(&[("query", query)]).send().await.expect("one");
    assert_eq!(answer.headers()["allow"], "GET, POST, PUT, DELETE");
    assert_refused(answer, 405, "BAD_USER_INPUT").await;
    let token = client.reserve_stream().await;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "", "multipart/form-data; boundary=x"] {
        for token in [None, Some(&token)] {
            let request = client.stream_request(Method::POST).header("content-type", kind).body(body.clone());
            let request = token.iter().fold(request, |request, token| request.header(TOKEN, *token));
            assert_refused(request.send().await.expect("an answer"), 415, "BAD_USER_INPUT").await;
        }
    }
    let post = |body: String| {
        client.stream_request(Method::POST).header("content-type", "application/json").body(body).send()
    };
    for broken in ["", "{", "{}", &format!("[{body}]"), r#"{"query":"{ __typename }","extensions":[]}"#] {
        assert_refused(post(broken.to_owned()).await.expect("an answer"), 400, "BAD_USER_INPUT").await;
    }
    // Announced and not sent, as the client waits for a go-ahead: the answer is there before.
    let mut connection = TcpStream::connect(client.address).await.expect("a connection");
    let head = "POST /graphql/stream HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n\
                content-type: application/json\r\ncontent-length: 300000\r\n\r\n";
    connection.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("PAYLOAD_TOO_LARGE"), "{answer}");
    let wants_json = client.stream_request(Method::POST).header(ACCEPT, "application/json");
    let answer = wants_json.json(&json!({ "query": WHO })).send().await.expect("an answer");
    assert_refused(answer, 406, "BAD_USER_INPUT").await;
    let answer = client.stream_request(Method::PATCH).send().await.expect("an answer");
    assert_refused(answer, 405, "BAD_USER_INPUT").await;

    let nobody = Client { token: Some("nonsense".to_owned()), ..client.clone() };
    assert_refused(nobody.try_stream(WHO, json!({})).await, 401, "UNAUTHENTICATED").await;
    let answer = nobody.stream_request(Method::PUT).send().await.expect("an answer");
    assert_refused(answer, 401, "UNAUTHENTICATED").await;
    let free = client.data(r#"{ isUsernameAvailable(username: "mallory") }"#, json!({})).await;
    assert_eq!(free["isUsernameAvailable"], true, "nothing of all that was done");

    let asked =
        client.http.request(Method::OPTIONS, client.stream_url()).header("origin", "http://a.example");
    let answer = asked.send().await.expect("an answer");
    assert_eq!(answer.headers()["access-control-allow-methods"], "GET, POST, PUT, DELETE");
    let allowed = answer.headers()["access-control-allow-headers"].to_str().expect("a text").to_owned();
    assert!(allowed.contains(TOKEN), "{allowed}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_tells_what_happens_and_what_was_missed() {
    let world = World::new().await;
    let (_, first) = world.api().await;
    let (_, second) = world.api().await;
    world.process(Role::Worker).await;
    let (ada, bob, conversation) = pair(&Client::new(first)).await;
    let listen = async |who: &Person, after: Option<&str>| {
        who.client.stream(MESSAGES, json!({ "id": conversation, "after": after })).await
    };
    let next = async |stream: &mut EventStream| {
        let mut event = stream.told().await["data"]["messageAdded"].take();
        (text(&event["message"]["text"]), event["replayed"] == true, text(&event["cursor"].take()))
    };
    let to = || json!({ "conversationId": conversation });

    let mut stream = listen(&ada, None).await;
    warm_up(&bob, &conversation, &mut stream).await;
    bob.write(to(), "live").await;
    let (words, replayed, cursor) = next(&mut stream).await;
    assert_eq!((&*words, replayed), ("live", false));
    drop(stream);
    for words in ["one", "two"] {
        bob.write(to(), words).await;
    }
    // At another process.
    let mut stream = listen(&ada.at(second), Some(&cursor)).await;
    for words in ["one", "two"] {
        let (told, replayed, _) = next(&mut stream).await;
        assert_eq!((&*told, replayed), (words, true));
    }
    bob.write(to(), "three").await;
    assert_eq!(next(&mut stream).await.0, "three");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_operations_share_a_reserved_stream() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob, conversation) = pair(&client).await;
    let ada = &ada.client;
    let token = ada.reserve_stream().await;
    assert!(token.len() >= 22 && token != ada.reserve_stream().await, "128 bits and more: {token}");

    // An operation that asks for a stream of its own has one, whatever token comes with it.
    let request = ada.stream_request(Method::POST).header(TOKEN, &token).header(ACCEPT, "text/event-stream");
    let answer = request.json(&json!({ "query": "{ __typename }" })).send().await.expect("an answer");
    let own = "event: next\ndata: {\"data\":{\"__typename\":\"Query\"}}\n\n";
    assert!(answer.text().await.expect("a text").contains(own));

    // What is sent before the stream is open begins when it is.
    assert_eq!(ada.send_to_stream(&token, "early", WHO, json!({})).await.status(), 202);
    let mut stream = ada.open_stream(&token).await;
    let told = stream.told().await;
    assert_eq!(told["id"], "early");
    assert_eq!(told["payload"]["data"]["viewer"]["user"]["username"], "ada");
    assert_eq!(stream.next().await, Some(("complete".to_owned(), json!({ "id": "early" }))));

    let variables = json!({ "id": conversation });
    assert_eq!(ada.send_to_stream(&token, "stays", MESSAGES, variables.clone()).await.status(), 202);
    warm_up(&bob, &conversation, &mut stream).await;
    assert_eq!(ada.send_to_stream(&token, "stops", MESSAGES, variables).await.status(), 202);
    let to = json!({ "conversationId": conversation });
    // Each round tells the first at least.
    loop {
        bob.write(to.clone(), "both?").await;
        if stream.told().await["id"] == "stops" {
            break;
        }
    }
    assert_eq!(ada.stop_on_stream(&token, "stops").await.status(), 200);
    assert_eq!(ada.stop_on_stream(&token, "never").await.status(), 200, "one that is unknown has ended");
    bob.write(to, "last").await;
    // What was on its way may still come.
    let rename = ada.send_to_stream(&token, "mutation", RENAME, json!({})).await;
    assert_eq!(rename.status(), 202);
    let (mut last, mut renamed) = (Vec::new(), false);
    while !renamed || last.is_empty() {
        let (name, event) = stream.next().await.expect("open");
        if event["payload"]["data"]["messageAdded"]["message"]["text"] == "last" {
            last.push(text(&event["id"]));
        }
        renamed |= name == "complete" && event["id"] == "mutation";
    }
    assert_eq!(last, ["stays"]);

    // Faults are told where they are made.
    let send = async |id: &str, query: &str| ada.send_to_stream(&token, id, query, json!({})).await;
    assert_refused(send("stays", WHO).await, 409, "CONFLICT").await;
    assert_refused(send("", WHO).await, 400, "BAD_USER_INPUT").await;
    assert_refused(send(&"x".repeat(129), WHO).await, 400, "BAD_USER_INPUT").await;
    assert_refused(send("bad", "{ nope }").await, 400, "GRAPHQL_VALIDATION_FAILED").await;
    let answer = ada.stream_request(Method::DELETE).header(TOKEN, &token).send().await.expect("an answer");
    assert_refused(answer, 400, "BAD_USER_INPUT").await;

    // There is one stream to a token, and no second one after it.
    assert_refused(ada.try_open_stream(&token).await, 409, "CONFLICT").await;
    drop(stream);
    eventually("the stream is forgotten", async || {
        let answer = ada.try_open_stream(&token).await;
        (refusal(answer).await == (404, Some("NOT_FOUND".to_owned()))).then_some(())
    })
    .await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reserved_stream_is_its_viewers() {
    let world = World::new().await;
    let (_, here) = world.api().await;
    let (_, there) = world.api().await;
    world.process(Role::Worker).await;
    let stranger = Client::new(here);
    let (ada, bob) = (stranger.sign_up("ada").await, stranger.sign_up("bob").await);
    let elsewhere = &ada.at(there).client;
    let (ada, bob) = (&ada.client, &bob.client);
    let token = ada.reserve_stream().await;
    let anonymous = stranger.reserve_stream().await;

    for (who, token, status, expected) in [
        (bob, &*token, 404, "NOT_FOUND"),
        (&stranger, &token, 401, "UNAUTHENTICATED"),
        (elsewhere, &token, 404, "NOT_FOUND"),
        (ada, "unknown", 404, "NOT_FOUND"),
        (ada, &anonymous, 404, "NOT_FOUND"),
    ] {
        assert_refused(who.send_to_stream(token, "1", WHO, json!({})).await, status, expected).await;
        assert_refused(who.stop_on_stream(token, "1").await, status, expected).await;
    }
    // A page opens it without headers; with those of somebody else it is not opened.
    let open = bob.stream_request(Method::GET).header(TOKEN, &token).header(ACCEPT, "text/event-stream");
    assert_refused(open.send().await.expect("an answer"), 404, "NOT_FOUND").await;
    assert_refused(elsewhere.try_open_stream(&token).await, 404, "NOT_FOUND").await;
    let mut stream = stranger.open_stream(&token).await;
    assert_eq!(ada.send_to_stream(&token, "1", WHO, json!({})).await.status(), 202);
    assert_eq!(stream.told().await["payload"]["data"]["viewer"]["user"]["username"], "ada");

    // Strangers have streams as well.
    let mut stream = stranger.open_stream(&anonymous).await;
    assert_eq!(stranger.send_to_stream(&anonymous, "1", "{ __typename }", json!({})).await.status(), 202);
    assert_eq!(stream.told().await["payload"]["data"]["__typename"], "Query");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_its_session() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob, conversation) = pair(&client).await;
    let (_, there) = world.api().await;
    let variables = json!({ "id": conversation });
    // One of each mode, at each process: revoked here, heard there.
    let open = async |person: &Person| {
        let mut own = person.client.stream(MESSAGES, variables.clone()).await;
        warm_up(&bob, &conversation, &mut own).await;
        let token = person.client.reserve_stream().await;
        let mut shared = person.client.open_stream(&token).await;
        let answer = person.client.send_to_stream(&token, "a", MESSAGES, variables.clone()).await;
        assert_eq!(answer.status(), 202);
        warm_up(&bob, &conversation, &mut shared).await;
        (own, shared)
    };
    let assert_ended = async |streams: &mut [(EventStream, EventStream)], expected: &str| {
        for (own, shared) in streams {
            let told = own.rest().await;
            let [.., next, last] = told.as_slice() else { panic!("{told:?}") };
            assert_eq!((code(&next.1).as_deref(), last), (Some(expected), &complete()));
            let told = shared.rest().await;
            let [.., next, last] = told.as_slice() else { panic!("{told:?}") };
            assert_eq!(next.1["id"], "a");
            assert_eq!(code(&next.1["payload"]).as_deref(), Some(expected));
            assert_eq!(last, &("complete".to_owned(), json!({ "id": "a" })));
        }
    };

    let mut streams = [open(&ada).await, open(&ada.at(there)).await];
    ada.client.data("mutation { signOut { ok } }", json!({})).await;
    assert_ended(&mut streams, "TOKEN_REVOKED").await;
    assert_refused(ada.client.try_stream(WHO, json!({})).await, 401, "TOKEN_REVOKED").await;

    let cyd = client.sign_up("cyd").await;
    let token = cyd.client.reserve_stream().await;
    let mut shared = cyd.client.open_stream(&token).await;
    assert_eq!(cyd.client.send_to_stream(&token, "a", LISTEN, json!({})).await.status(), 202);
    let mut streams = [(cyd.client.stream(LISTEN, json!({})).await, {
        assert_eq!(cyd.client.send_to_stream(&token, "b", WHO, json!({})).await.status(), 202);
        while shared.next().await.expect("open") != ("complete".to_owned(), json!({ "id": "b" })) {}
        shared
    })];
    world.clock.advance(time::Duration::hours(1));
    assert_ended(&mut streams, "TOKEN_EXPIRED").await;
    assert_refused(cyd.client.try_stream(WHO, json!({})).await, 401, "TOKEN_EXPIRED").await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_process_lets_go_of_streams_and_finishes_writes() {
    let world = World::new().await;
    let (app, address) = world.api().await;
    world.process(Role::Worker).await;
    let (ada, bob, conversation) = pair(&Client::new(address)).await;
    let mut own = ada.client.stream(MESSAGES, json!({ "id": conversation })).await;
    warm_up(&bob, &conversation, &mut own).await;
    let token = ada.client.reserve_stream().await;
    let mut common = ada.client.open_stream(&token).await;
    let listening = ada.client.send_to_stream(&token, "a", MESSAGES, json!({ "id": conversation })).await;
    assert_eq!(listening.status(), 202);

    // A write that can't end before the test lets it.
    let shard = app.domain().store.owner(bob.user_id().slot());
    let holder = stack::connect(&world.shard_url(shard)).await;
    holder.execute_unprepared("begin; lock table users").await.expect("locks");
    let written = async { bob.client.stream(RENAME, json!({})).await.rest().await };
    let stopping = async {
        eventually("the write waits", async || {
            let waiting = "select 1 from pg_locks where not granted and relation = 'users'::regclass";
            (!world.rows(shard, waiting).await.is_empty()).then_some(())
        })
        .await;
        app.stopping().cancel();
        // Whole answers, and no `complete`: a client that is told so does not come back. They do not wait for
        // the write, which waits for what comes behind them here.
        assert_eq!(own.rest().await, []);
        assert_eq!(common.rest().await, []);
        holder.execute_unprepared("rollback").await.expect("unlocks");
    };
    let (written, ()) = join(written, stopping).await;
    assert_eq!(written[0].1["data"]["updateProfile"]["user"]["fullName"], "Writer");
    assert_eq!(written[1..], [complete()]);
    holder.close().await.expect("closes");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_and_their_operations_are_few() {
    let world = World::new().await;
    let (_, address) = world.api_with(&["--max-sockets=1"]).await;
    world.process(Role::Worker).await;
    let ada = Client::new(address).sign_up("ada").await.client;
    let forgotten = ada.reserve_stream().await;
    let reserved = Instant::now();

    let token = ada.reserve_stream().await;
    let stream = ada.open_stream(&token).await;
    for number in 0..32 {
        let answer = ada.send_to_stream(&token, &number.to_string(), LISTEN, json!({})).await;
        assert_eq!(answer.status(), 202, "{number}");
    }
    assert_refused(ada.send_to_stream(&token, "more", LISTEN, json!({})).await, 429, "RATE_LIMITED").await;
    assert_eq!(ada.stop_on_stream(&token, "7").await.status(), 200);
    assert_eq!(ada.send_to_stream(&token, "more", LISTEN, json!({})).await.status(), 202);

    // Sockets and streams have their places in common.
    let answer = ada.try_stream(WHO, json!({})).await;
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_refused(answer, 503, "RATE_LIMITED").await;
    assert_eq!(ada.knock(PROTOCOL).await.map(|_| ()), Err(503));
    drop(stream);
    eventually("the place is free", async || {
        (ada.try_stream(WHO, json!({})).await.status() == 200).then_some(())
    })
    .await;

    // A place that nobody opens is not kept.
    eventually("the reservation is over", async || {
        let answer = ada.send_to_stream(&forgotten, "1", "{ nope }", json!({})).await;
        (answer.status() == 404).then_some(())
    })
    .await;
    let kept = reserved.elapsed();
    assert!(kept > Duration::from_secs(9), "{kept:?}");
    world.close().await;
}

/// Opens a reserved stream and reads none of it.
async fn never_read(client: &Client, token: &str) -> TcpStream {
    let mut connection = client.narrow_connection().await;
    let head =
        format!("GET /graphql/stream?token={token} HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n");
    connection.write_all(head.as_bytes()).await.expect("sent");
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_holds_up_its_own_operations_and_is_cut_off() {
    const LARGE: &str = "{ __schema { types { name description fields { name description
        args { name type { name ofType { name } } } type { name ofType { name ofType { name } } } } } } }";
    let world = World::new().await;
    let client = world.system().await;
    let ada = client.sign_up("ada").await.client;
    let answer = ada.data(LARGE, json!({})).await.to_string().len();
    let token = ada.reserve_stream().await;
    let mut connection = never_read(&ada, &token).await;
    // As much as is taken, until the stream is cut off.
    let begun = Instant::now();
    let (mut accepted, mut refused, mut number) = (0, 0, 0);
    loop {
        let burst = join_all((0..16).map(|_| {
            number += 1;
            let (ada, token) = (&ada, &token);
            async move { ada.send_to_stream(token, &number.to_string(), LARGE, json!({})).await }
        }));
        let statuses: Vec<u16> = burst.await.iter().map(|answer| answer.status().as_u16()).collect();
        accepted += statuses.iter().filter(|status| **status == 202).count();
        refused += statuses.iter().filter(|status| **status == 429).count();
        if statuses.contains(&404) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "it was never cut off");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!(
        "{accepted} answers of {answer} bytes accepted, {refused} refused, cut off after {:?}",
        begun.elapsed()
    );
    assert!(refused > 0, "{accepted} accepted");
    // Four megabytes lie with the kernel at most.
    assert!(accepted * answer < 16 * 1024 * 1024, "{accepted} answers of {answer} bytes");
    // The connection is cut, and not ended in good order.
    let mut read = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(30), connection.read_to_end(&mut read)).await;
    let is_cut = ended.expect("the connection ends").is_err() || !read.ends_with(b"0\r\n\r\n");
    assert!(is_cut, "{} bytes", read.len());
    world.close().await;
}
