//! What is too much is refused with its code, and costs the others nothing.

use std::time::{Duration, Instant};

use fowergram::app::Role;
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::harness::client::{Client, PROTOCOL, code};
use crate::harness::{World, eventually, stack};
use sea_orm::ConnectionTrait as _;

/// Fragments that each spread the next one twice: a thousand bytes say a million fields and more.
fn fragment_bomb() -> String {
    use std::fmt::Write as _;
    let mut text = "{...a0}".to_owned();
    for number in 0..27 {
        let next = number + 1;
        write!(text, "fragment a{number} on Query{{...a{next} ...a{next}}}").expect("a string grows");
    }
    text.push_str("fragment a27 on Query{__typename}");
    assert!((900..1_100).contains(&text.len()), "{}", text.len());
    text
}

fn aliases(count: usize) -> String {
    let fields: Vec<String> = (0..count).map(|number| format!("a{number}:__typename")).collect();
    format!("{{{}}}", fields.join(" "))
}

fn levels(count: usize) -> String {
    format!("{{viewer{}{}}}", "{user".repeat(count), "}".repeat(count))
}

/// An answer of the API, with its status.
async fn post(client: &Client, content_type: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
    let request = client.http.post(client.url()).header("content-type", content_type).body(body);
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

/// A connection on which requests are written by hand.
struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn open(client: &Client) -> Self {
        Self(BufReader::new(TcpStream::connect(client.address).await.expect("a connection")))
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("sent");
    }

    async fn send_head(&mut self, headers: &str) {
        self.send(format!("POST /graphql HTTP/1.1\r\nhost: x\r\n{headers}\r\n\r\n").as_bytes()).await;
    }

    /// The status of the next answer, and its body.
    async fn answer(&mut self) -> (u16, Value) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(
                self.0.read_line(&mut head).await.expect("an answer") > 0,
                "the connection ended: {head}"
            );
        }
        let head = head.to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        let mut body = vec![0; length.parse().expect("a number")];
        self.0.read_exact(&mut body).await.expect("the body");
        (status, serde_json::from_slice(&body).expect("JSON"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_are_refused_while_other_requests_go_on() {
    let world = World::new().await;
    let client = &world.system().await;
    let person = &client.sign_up("reader").await;
    let bombs = [
        (fragment_bomb(), "QUERY_TOO_COMPLEX"),
        (aliases(10_000), "QUERY_TOO_COMPLEX"),
        (aliases(600), "QUERY_TOO_COMPLEX"),
        (levels(200), "QUERY_TOO_DEEP"),
        (levels(16), "QUERY_TOO_DEEP"),
        (format!("{{ node(id: {}1{}) {{ id }} }}", "[".repeat(200), "]".repeat(200)), "QUERY_TOO_DEEP"),
        ("{ viewer { user { followers(first: 100) { nodes { followers(first: 100) { nodes { followers(first: 100)
            { nodes { id } } } } } } } } }".to_owned(), "QUERY_TOO_COMPLEX"),
        (format!("{{ __typename {} }}", "@skip(if: false) ".repeat(1_000)), "QUERY_TOO_COMPLEX"),
        ("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }".to_owned(), "GRAPHQL_VALIDATION_FAILED"),
    ];
    let bombing = join_all((0..50).map(|number| {
        let (bomb, expected) = &bombs[number % bombs.len()];
        async move {
            let begin = Instant::now();
            assert_eq!(client.code(bomb, json!({})).await, *expected, "{}", &bomb[..60]);
            begin.elapsed()
        }
    }));
    let reading = join_all((0..50).map(|_| async {
        let begin = Instant::now();
        let query = "{ viewer { user { id username } feed(first: 20) { nodes { id } } } }";
        let data = person.client.data(query, json!({})).await;
        assert_eq!(data["viewer"]["user"]["id"], json!(person.id));
        begin.elapsed()
    }));
    let (bombed, read) = join(bombing, reading).await;
    let longest = |times: Vec<Duration>| times.into_iter().max().unwrap_or_default();
    println!("50 bombs: {:?} at most; 50 queries beside them: {:?} at most", longest(bombed), longest(read));
    world.close().await;
}

/// A client that sends a whole body before it reads sees the answer, and can go on with its connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_refused_before_it_is_read_may_still_be_sent() {
    const MIB: usize = 1024 * 1024;
    let world = World::new().await;
    let client = &world.system().await;
    let person = client.sign_up("ada").await;
    let token = person.client.token.as_deref().expect("a token");
    let json = "content-type: application/json";
    let file = "content-type: multipart/form-data; boundary=x\r\ngraphql-require-preflight: 1";
    let length = format!("content-length: {}", 24 * MIB);
    let chunked = "transfer-encoding: chunked";
    // A chunk of as much as may be read, and one more byte.
    let chunks = format!("{:x}\r\n{}\r\n1\r\n \r\n", MIB / 4, " ".repeat(MIB / 4)).into_bytes();
    let (whole, rest) =
        (vec![b' '; 24 * MIB], format!("{MIB:x}\r\n{}\r\n0\r\n\r\n", " ".repeat(MIB)).into_bytes());
    let nothing: &[u8] = b"";
    let cases = [
        (format!("{json}\r\n{length}"), nothing, &whole[..], 413, "PAYLOAD_TOO_LARGE"),
        (format!("{json}\r\n{chunked}"), &chunks[..], &rest[..], 413, "PAYLOAD_TOO_LARGE"),
        (format!("content-type: text/plain\r\n{length}"), nothing, &whole[..], 415, "BAD_USER_INPUT"),
        // A stranger's file, and one that is too large.
        (format!("{file}\r\n{length}"), nothing, &whole[..], 200, "UNAUTHENTICATED"),
        (
            format!("{file}\r\nauthorization: Bearer {token}\r\n{length}"),
            b"",
            &whole,
            413,
            "PAYLOAD_TOO_LARGE",
        ),
    ];
    for (headers, before, after, status, expected) in cases {
        let mut connection = Connection::open(client).await;
        connection.send_head(&headers).await;
        connection.send(before).await;
        let (got, answer) = connection.answer().await;
        assert_eq!((got, code(&answer).as_deref()), (status, Some(expected)), "{headers}");
        connection.send(after).await;
        let next = r#"{"query":"{ __typename }"}"#;
        connection.send_head(&format!("{json}\r\ncontent-length: {}", next.len())).await;
        connection.send(next.as_bytes()).await;
        assert_eq!(
            connection.answer().await,
            (200, json!({ "data": { "__typename": "Query" } })),
            "{headers}"
        );
    }
    // A client that waits for a go-ahead is answered at once, and sends nothing.
    let mut connection = Connection::open(client).await;
    connection.send_head(&format!("{json}\r\n{length}\r\nexpect: 100-continue")).await;
    assert_eq!(connection.answer().await.0, 413);
    assert_eq!(connection.0.read(&mut [0]).await.expect("the end"), 0, "the connection is closed");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_can_not_make_a_browser_write() {
    let world = World::new().await;
    let client = &world.system().await;
    let query = r#"mutation { signUp(input: { username: "mallory", email: "m@example.org",
        password: "olive harbour lantern 42" }) { accessToken } }"#;
    let body = json!({ "query": query }).to_string();

    let url = url::Url::parse_with_params(&client.url(), [("query", query)]).expect("an address");
    let answer = client.http.get(url).send().await.expect("an answer");
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.headers()["allow"], "GET, POST");
    assert_eq!(code(&answer.json().await.expect("JSON")).as_deref(), Some("BAD_USER_INPUT"));

    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "",
        "multipart/form-data; boundary=x",
    ] {
        let (status, answer) = post(client, kind, body.clone()).await;
        assert_eq!((status, code(&answer).as_deref()), (415, Some("BAD_USER_INPUT")), "{kind}");
    }
    let (status, answer) = post(client, "application/json", format!("[{body},{body}]")).await;
    assert_eq!((status, code(&answer).as_deref()), (400, Some("BAD_USER_INPUT")));
    assert!(answer["errors"][0]["message"].as_str().is_some_and(|text| text.contains("Batches")));
    for broken in ["", "{", "null", "{}", r#"{"query":1}"#, r#"{"query":"{ __typename }","variables":[]}"#] {
        let (status, answer) = post(client, "application/json", broken).await;
        assert_eq!((status, code(&answer).as_deref()), (400, Some("BAD_USER_INPUT")), "{broken}");
    }
    let free = client.data(r#"{ isUsernameAvailable(username: "mallory") }"#, json!({})).await;
    assert_eq!(free["isUsernameAvailable"], true, "nothing of all that was done");

    let url = url::Url::parse_with_params(&client.url(), [("query", "{ __typename }")]).expect("an address");
    let answer: Value = client.http.get(url).send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(answer["data"]["__typename"], "Query", "queries may be asked for with GET");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_and_pages_are_checked() {
    let world = World::new().await;
    let client = &world.system().await.sign_up("reader").await.client;
    for (query, expected) in [
        ("{ viewer { feed(first: 0) { nodes { id } } } }", "PAGE_SIZE_INVALID"),
        ("{ viewer { feed(first: 101) { nodes { id } } } }", "PAGE_SIZE_INVALID"),
        ("{ viewer { feed(first: -1) { nodes { id } } } }", "PAGE_SIZE_INVALID"),
        ("{ viewer { user { posts(first: 101) { nodes { id } } } } }", "PAGE_SIZE_INVALID"),
        ("{ nope }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ viewer }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ viewer { nope } }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ node { id } }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ node(id: \"x\", nope: 1) { id } }", "GRAPHQL_VALIDATION_FAILED"),
        ("query ($id: Nope) { node(id: $id) { id } }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ viewer {", "GRAPHQL_PARSE_FAILED"),
        ("", "GRAPHQL_PARSE_FAILED"),
        ("query a { __typename } query b { __typename }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { newNotification { cursor } }", "BAD_USER_INPUT"),
        ("{ node(id: \"x\") { id } }", "BAD_USER_INPUT"),
    ] {
        assert_eq!(client.code(query, json!({})).await, expected, "{query}");
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_document_is_checked_with_each_requests_variables() {
    let world = World::new().await;
    let (app, address) = world.api().await;
    world.process(Role::Worker).await;
    let client = &Client::new(address).sign_up("reader").await.client;
    let query = "query ($n: Int, $m: Int = 5) { viewer { user { followers(first: $n) { nodes {
        followers(first: $m) { nodes { followers(first: $m) { nodes { id } } } } } } } } }";
    let good = json!({ "n": 5 });
    client.data(query, good.clone()).await;
    let known = app.engine().documents();
    for (variables, expected) in [
        (json!({ "n": 100, "m": 100 }), "QUERY_TOO_COMPLEX"),
        (json!({ "n": 2_000_000_000, "m": 1 }), "QUERY_TOO_COMPLEX"),
        (json!({ "n": 0 }), "PAGE_SIZE_INVALID"),
        (json!({ "n": 101, "m": 1 }), "PAGE_SIZE_INVALID"),
        (json!({ "n": -1 }), "PAGE_SIZE_INVALID"),
        (json!({ "n": "5" }), "BAD_USER_INPUT"),
        (json!({ "n": 5.5 }), "BAD_USER_INPUT"),
        (json!({ "n": [5] }), "BAD_USER_INPUT"),
        (json!({ "n": { "a": 5 } }), "BAD_USER_INPUT"),
    ] {
        assert_eq!(client.code(query, variables.clone()).await, expected, "{variables}");
        client.data(query, good.clone()).await;
    }
    assert_eq!(app.engine().documents(), known, "it was known all the time");
    assert_eq!(client.code(&format!("{query} "), json!({ "n": 100, "m": 100 })).await, "QUERY_TOO_COMPLEX");
    assert_eq!(app.engine().documents(), known, "what is refused is not kept");
    world.close().await;
}

const LISTEN: &str = "subscription { newNotification { cursor } }";

fn subscribe(id: &str, query: &str) -> Value {
    json!({ "id": id, "type": "subscribe", "payload": { "query": query } })
}

#[tokio::test(flavor = "multi_thread")]
async fn who_breaks_the_sockets_protocol_is_shut_out() {
    let world = World::new().await;
    let client = &world.system().await.sign_up("listener").await.client;
    let refused = client.knock("graphql-ws").await.map(|_| ());
    assert_eq!(refused, Err(400), "an unknown subprotocol");

    // Before anything was said.
    let stranger = |payload: Value| json!({ "type": "connection_init", "payload": payload }).to_string();
    for (message, expected) in [
        (subscribe("1", LISTEN).to_string(), 4401),
        (stranger(json!({ "authorization": "Bearer nonsense" })), 4403),
        (stranger(json!({ "authorization": "Basic abc" })), 4403),
        (stranger(json!("text")), 4400),
        ("{".to_owned(), 4400),
    ] {
        let mut socket = client.knock(PROTOCOL).await.expect("a socket");
        socket.send_text(&message).await;
        assert_eq!(socket.receive().await, Err(expected), "{message}");
    }

    // After being let in.
    let again = json!({ "type": "connection_init" }).to_string();
    for (message, expected) in [
        (again, 4429),
        ("this is not JSON".to_owned(), 4400),
        (json!({ "type": "nonsense" }).to_string(), 4400),
        (json!({ "type": "subscribe", "payload": { "query": LISTEN } }).to_string(), 4400),
        (json!({ "type": "subscribe", "id": "1", "payload": {} }).to_string(), 4400),
        (
            json!({ "type": "subscribe", "id": "x".repeat(200), "payload": { "query": LISTEN } }).to_string(),
            4400,
        ),
        (json!({ "type": "complete" }).to_string(), 4400),
        (subscribe("taken", LISTEN).to_string(), 4409),
        (" ".repeat(70 * 1024), 1009),
    ] {
        let mut socket = client.socket().await;
        socket.send(subscribe("taken", LISTEN)).await;
        socket.send_text(&message).await;
        assert_eq!(socket.receive().await, Err(expected), "{}", &message[..message.len().min(60)]);
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_say_who_it_is_is_shut_out() {
    let world = World::new().await;
    let client = &world.system().await;
    let mut silent = client.knock(PROTOCOL).await.expect("a socket");
    assert_eq!(silent.receive().await, Err(4408));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_answers_and_stops_what_is_completed() {
    let world = World::new().await;
    let client = world.system().await;
    let listener = client.sign_up("listener").await;
    let fan = client.sign_up("fan").await;

    let mut early = listener.client.knock(PROTOCOL).await.expect("a socket");
    early.send(json!({ "type": "ping", "payload": { "a": 1 } })).await;
    assert_eq!(early.receive().await, Ok(json!({ "type": "pong", "payload": { "a": 1 } })));

    let mut socket = listener.client.socket().await;
    socket.send(subscribe("q", "{ viewer { user { username } } }")).await;
    let next = socket.receive().await.expect("open");
    assert_eq!((&next["type"], &next["id"]), (&json!("next"), &json!("q")));
    assert_eq!(next["payload"]["data"]["viewer"]["user"]["username"], "listener");
    assert_eq!(socket.receive().await, Ok(json!({ "type": "complete", "id": "q" })));

    for (query, expected) in [
        ("subscription { nope }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription {", "GRAPHQL_PARSE_FAILED"),
        (
            "subscription { a: newNotification { cursor } b: newNotification { cursor } }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
    ] {
        socket.send(subscribe("e", query)).await;
        let error = socket.receive().await.expect("open");
        assert_eq!((&error["type"], &error["id"]), (&json!("error"), &json!("e")), "{error}");
        assert_eq!(error["payload"][0]["extensions"]["code"], expected, "{error}");
    }
    socket.send(subscribe("q", &fragment_bomb())).await;
    let error = socket.receive().await.expect("open");
    assert_eq!(error["payload"][0]["extensions"]["code"], "QUERY_TOO_COMPLEX", "{error}");

    // Of two that listen, one is told to stop; an unknown id is no harm. An event for the other tells
    // that one would have come for the first as well.
    socket.send(json!({ "type": "complete", "id": "never" })).await;
    socket.send(subscribe("stopped", LISTEN)).await;
    socket.send(subscribe("kept", LISTEN)).await;
    socket.send(json!({ "type": "complete", "id": "stopped" })).await;
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.receive().await.expect("open")["type"], "pong");
    let follow = "mutation ($id: ID!) { followUser(id: $id) { user { id } } }";
    fan.client.data(follow, json!({ "id": listener.id })).await;
    let event = socket.receive().await.expect("open");
    assert_eq!((&event["type"], &event["id"]), (&json!("next"), &json!("kept")), "{event}");
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.receive().await.expect("open")["type"], "pong", "nothing in between");
    // Its id is free again.
    socket.send(subscribe("stopped", "{ __typename }")).await;
    assert_eq!(socket.receive().await.expect("open")["id"], "stopped");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_process_finishes_what_runs_and_sends_sockets_away() {
    let world = World::new().await;
    let (app, address) = world.api().await;
    world.process(Role::Worker).await;
    let person = Client::new(address).sign_up("writer").await;
    let mut socket = person.client.socket().await;
    socket.subscribe(LISTEN, json!({})).await;

    // A request that can't end before the test lets it.
    let shard = app.domain().store.owner(person.user_id().slot());
    let holder = stack::connect(&world.shard_url(shard)).await;
    holder.execute_unprepared("begin; lock table users").await.expect("locks");
    let update = r#"mutation { updateProfile(input: { fullName: "Writer" }) { user { fullName } } }"#;
    let running = person.client.data(update, json!({}));
    let stopping = async {
        eventually("the request waits", async || {
            let waiting = "select 1 from pg_locks where not granted and relation = 'users'::regclass";
            (!world.rows(shard, waiting).await.is_empty()).then_some(())
        })
        .await;
        app.stopping().cancel();
        assert_eq!(socket.receive().await, Err(1001));
        eventually("nobody else is let in", async || {
            TcpStream::connect(address).await.is_err().then_some(())
        })
        .await;
        holder.execute_unprepared("rollback").await.expect("unlocks");
    };
    let (data, ()) = join(running, stopping).await;
    assert_eq!(data["updateProfile"]["user"]["fullName"], "Writer");
    holder.close().await.expect("closes");
    world.close().await;
}
