//! What clients do by habit, and expect to work or to be refused clearly.

use fowergram::app::Role;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::harness::World;
use crate::harness::client::{Client, PROTOCOL, Person, code, text};
use crate::harness::events::TOKEN;

const WHO: &str = "{ viewer { user { username } } }";
const GRAPHQL_RESPONSE: &str = "application/graphql-response+json";

async fn json_of(answer: Response) -> Value {
    answer.json().await.expect("JSON")
}

/// A POST of these bytes.
async fn post(
    client: &Client,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> Response {
    let mut request = client.http.post(format!("http://{}{path}", client.address)).body(body);
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

fn ping() -> String {
    json!({ "query": "{ __typename }" }).to_string()
}

/// Apollo's clients send the document only after this error (apollo-kotlin #4787), and some give up for good
/// after another status (apollo-client #10806).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_persisted_query_is_refused_so_that_the_document_comes() {
    let world = World::new().await;
    let client = world.system().await.sign_up("ada").await.client;
    let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": "0".repeat(64) } });
    let asked = json!({ "operationName": "Who", "variables": {}, "extensions": extensions });
    let assert_refused = |answer: &Value| {
        let error = &answer["errors"][0];
        assert_eq!(error["message"], "PersistedQueryNotSupported", "{answer}");
        assert_eq!(error["extensions"]["code"], "PERSISTED_QUERY_NOT_SUPPORTED");
    };
    for accept in ["application/json", GRAPHQL_RESPONSE, "*/*"] {
        let answer = post(&client, "/graphql", &[("accept", accept)], asked.to_string()).await;
        assert_eq!(answer.status(), 200, "{accept}");
        assert_refused(&json_of(answer).await);
        let query = [("operationName", "Who".to_owned()), ("extensions", extensions.to_string())];
        let answer = client.http.get(client.url()).query(&query).header(ACCEPT, accept).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 200, "{accept}");
        assert_refused(&json_of(answer).await);
    }
    let mut socket = client.socket().await;
    socket.send(json!({ "id": "1", "type": "subscribe", "payload": asked })).await;
    let refused = socket.receive().await.expect("the socket is open");
    assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("1")));
    assert_refused(&json!({ "errors": refused["payload"] }));

    let events = |body: String| {
        client.stream_request(Method::POST).header(CONTENT_TYPE, "application/json").body(body)
    };
    let answer =
        events(asked.to_string()).header(ACCEPT, "text/event-stream").send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let told = answer.text().await.expect("a stream");
    assert!(told.contains("event: next") && told.contains("PERSISTED_QUERY_NOT_SUPPORTED"), "{told}");
    let token = client.reserve_stream().await;
    let _stream = client.open_stream(&token).await;
    let mut addressed = asked.clone();
    addressed["extensions"]["operationId"] = json!("1");
    let answer = events(addressed.to_string()).header(TOKEN, &token).send().await.expect("an answer");
    assert_eq!(answer.status(), 400, "nothing comes on the stream");
    assert_refused(&json_of(answer).await);

    // With the document the hash does not matter.
    let mut whole = asked;
    whole["query"] = json!("query Who { __typename }");
    let answer = post(&client, "/graphql", &[], whole.to_string()).await;
    assert_eq!(json_of(answer).await, json!({ "data": { "__typename": "Query" } }));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_may_send_what_their_clients_send() {
    let world = World::new().await;
    world.process(Role::Worker).await;
    let (_, address) =
        world.api_with(&["--cors-origins=https://a.example", "--cors-headers=x-tenant, X-Build"]).await;
    let client = Client::new(address);
    for path in ["/graphql", "/graphql/", "/graphql/stream"] {
        let answer = client
            .http
            .request(Method::OPTIONS, format!("http://{address}{path}"))
            .header("origin", "https://a.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "traceparent,x-tenant")
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 204);
        assert_eq!(answer.headers()["access-control-allow-origin"], "https://a.example");
        let allowed =
            answer.headers()["access-control-allow-headers"].to_str().expect("a text").to_lowercase();
        let allowed: Vec<&str> = allowed.split(", ").collect();
        for name in [
            "authorization",
            "content-type",
            "apollographql-client-name",
            "apollographql-client-version",
            "x-apollo-operation-name",
            "traceparent",
            "tracestate",
            "sentry-trace",
            "baggage",
            "x-tenant",
            "x-build",
        ] {
            assert!(allowed.contains(&name), "{path}: {name} is not among {allowed:?}");
        }
        assert!(!allowed.contains(&"*"));
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_address_is_good_with_a_slash_behind_it() {
    let world = World::new().await;
    let client = world.system().await;
    let answer = post(&client, "/graphql/", &[], ping()).await;
    assert_eq!(json_of(answer).await["data"]["__typename"], "Query");
    let answer = post(&client, "/graphql/stream/", &[("accept", "text/event-stream")], ping()).await;
    assert_eq!(answer.status(), 200);
    let url = |path: &str| format!("http://{}{path}", client.address);
    let plain = client.http.get(url("/graphql/ws")).send().await.expect("an answer").status();
    let slashed = client.http.get(url("/graphql/ws/")).send().await.expect("an answer").status();
    assert!(plain == slashed && plain != StatusCode::NOT_FOUND, "{plain} {slashed}");

    for method in [Method::HEAD, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = client.http.request(method.clone(), client.url()).send().await.expect("an answer");
        assert_eq!(answer.status(), 405, "{method}");
        assert_eq!(answer.headers()[ALLOW], "GET, POST");
    }
    let answer = client.http.request(Method::OPTIONS, client.url()).send().await.expect("an answer");
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()[ALLOW]),
        (204, &"GET, POST".parse().expect("a header"))
    );
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_taken_or_refused_for_what_they_are() {
    let world = World::new().await;
    let client = world.system().await;
    for path in ["/graphql", "/graphql/stream"] {
        let accept = if path == "/graphql" { "application/json" } else { "text/event-stream" };
        for coding in ["gzip", "deflate", "br", "zstd", "identity, gzip", "no-such"] {
            let headers = [("accept", accept), (CONTENT_ENCODING.as_str(), coding)];
            let answer = post(&client, path, &headers, ping()).await;
            assert_eq!(answer.status(), 415, "{path} {coding}");
            assert_eq!(answer.headers()[ACCEPT_ENCODING], "identity");
            let answer = json_of(answer).await;
            assert_eq!(code(&answer).as_deref(), Some("BAD_USER_INPUT"));
            assert!(text(&answer["errors"][0]["message"]).contains("Content-Encoding"), "{answer}");
        }
        for body in [ping(), format!("\u{feff}{}", ping())] {
            for headers in [&[("accept", accept)][..], &[("accept", ""), ("content-encoding", "identity")]] {
                let answer = post(&client, path, headers, body.clone()).await;
                assert_eq!(answer.status(), 200, "{path} {headers:?}");
                let told = answer.text().await.expect("a text");
                assert!(told.contains(r#"{"data":{"__typename":"Query"}}"#), "{told}");
            }
        }
        let wide: Vec<u8> = format!("\u{feff}{}", ping()).encode_utf16().flat_map(u16::to_le_bytes).collect();
        let answer = post(&client, path, &[("accept", accept)], wide).await;
        assert_eq!(answer.status(), 400);
        assert_eq!(json_of(answer).await["errors"][0]["message"], "The body is not UTF-8.");
    }
    world.close().await;
}

/// How a socket with this payload is let in: who it is, or with what it was closed.
async fn enter(person: &Person, payload: Value) -> Result<Option<String>, u16> {
    let mut socket = Client::new(person.client.address).knock(PROTOCOL).await.expect("a socket");
    socket.send(json!({ "type": "connection_init", "payload": payload })).await;
    assert_eq!(socket.receive().await?["type"], "connection_ack");
    socket.subscribe(WHO, json!({})).await;
    Ok(socket.event().await["viewer"]["user"]["username"].as_str().map(str::to_owned))
}

/// Payloads as in graphql-ws #646, apollo-client #6782, postgraphile's graphile.github.io #203 and genql #91.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_takes_its_token_as_clients_send_it_or_refuses_it() {
    let world = World::new().await;
    let ada = world.system().await.sign_up("ada").await;
    let token = ada.client.token.clone().expect("a token");
    let bearer = format!("Bearer {token}");
    for payload in [
        json!({ "authorization": bearer }),
        json!({ "Authorization": bearer }),
        json!({ "Authorization": token }),
        json!({ "authToken": token }),
        json!({ "authToken": bearer }),
        json!({ "token": format!("{token}\n") }),
        json!({ "accessToken": token, "client": "web" }),
        json!({ "headers": { "Authorization": bearer } }),
        json!({ "headers": { "authorization": bearer, "x-other": "y" } }),
    ] {
        assert_eq!(enter(&ada, payload.clone()).await, Ok(Some("ada".to_owned())), "{payload}");
    }
    for payload in [Value::Null, json!({}), json!({ "authToken": null }), json!({ "headers": {} })] {
        assert_eq!(enter(&ada, payload.clone()).await, Ok(None), "{payload}");
    }
    for (payload, expected) in [
        (json!({ "authToken": "" }), 4403),
        (json!({ "authorization": "Bearer undefined" }), 4403),
        (json!({ "authorization": "Basic YTpi" }), 4403),
        (json!({ "authorization": { "token": token } }), 4400),
        (json!({ "auth": { "token": token } }), 4400),
        (json!({ "context": { "headers": { "Authorization": bearer } } }), 4400),
        (json!({ "custom": bearer }), 4400),
        (json!({ "custom": token }), 4400),
    ] {
        assert_eq!(enter(&ada, payload.clone()).await, Err(expected), "{payload}");
    }
    for query in
        [format!("?token={token}"), "?access_token=x".to_owned(), "?authorization=Bearer+x".to_owned()]
    {
        let url = format!("http://{}/graphql/ws{query}", ada.client.address);
        let answer = ada.client.http.get(url).send().await.expect("an answer");
        assert_eq!(answer.status(), 400);
        assert!(answer.text().await.expect("a text").contains("not in the address"), "{query}");
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_cursor_begins_a_list() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let (conversation, _) = bob.write(json!({ "userId": ada.id }), "hello").await;
    let page = |field: &str| format!(r#"{field}(after: "") {{ pageInfo {{ hasPreviousPage }} }}"#);
    let own: String = ["feed", "notifications", "conversations"].map(page).concat();
    let others: String = ["posts", "followers", "following"].map(page).concat();
    let query =
        format!("query ($id: ID!) {{ viewer {{ {own} }} node(id: $id) {{ ... on User {{ {others} }} }} }}");
    let data = ada.client.data(&query, json!({ "id": format!("{}\n", bob.id) })).await;
    for list in
        data["viewer"].as_object().into_iter().chain(data["node"].as_object()).flat_map(|all| all.values())
    {
        assert_eq!(list["pageInfo"]["hasPreviousPage"], false, "{data}");
    }
    let messages = "query ($id: ID!, $after: Cursor, $last: Int, $before: Cursor) { node(id: $id) { ... on Conversation {
        messages(after: $after, last: $last, before: $before) { nodes { text } } } } }";
    let data = ada.client.data(messages, json!({ "id": conversation, "after": "", "before": "" })).await;
    assert_eq!(data["node"]["messages"]["nodes"], json!([{ "text": "hello" }]));
    let data = ada.client.data(messages, json!({ "id": conversation, "last": 5.0 })).await;
    assert_eq!(data["node"]["messages"]["nodes"], json!([{ "text": "hello" }]));
    for (wrong, expected, field) in [
        (json!({ "last": 0 }), "PAGE_SIZE_INVALID", "last"),
        (json!({ "last": 101 }), "PAGE_SIZE_INVALID", "last"),
        (json!({ "before": "x" }), "CURSOR_INVALID", "before"),
        (json!({ "after": "x" }), "CURSOR_INVALID", "after"),
        (json!({ "last": 5.5 }), "BAD_USER_INPUT", "last"),
    ] {
        let mut variables = wrong;
        variables["id"] = json!(conversation);
        let error = ada.client.ask(messages, variables).await["errors"][0]["extensions"].take();
        assert_eq!((&error["code"], &error["field"]), (&json!(expected), &json!(field)));
    }
    let mut socket = ada.client.socket().await;
    for query in [
        "subscription { newNotification(after: \"\") { cursor } }",
        "subscription { viewerEvents(after: \"\") { cursor } }",
    ] {
        socket.subscribe(query, json!({})).await;
    }
    let fence = socket.subscribe(WHO, json!({})).await;
    // What came meanwhile may be told before.
    loop {
        let told = socket.receive().await.expect("the socket is open");
        assert!(told["type"] == "next" && told["payload"]["errors"].is_null(), "{told}");
        if told["id"] == json!(fence) {
            break;
        }
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn null_gives_what_leaving_out_gives() {
    let world = World::new().await;
    let ada = world.system().await.sign_up("ada").await.client;
    let post = ada.post("picture").await;
    let comment =
        "mutation ($input: CreateCommentInput!) { createComment(input: $input) { comment { id } } }";
    let say = async |parent: Option<&str>, number: usize| {
        let key = format!("c{number}");
        let input = json!({ "idempotencyKey": key, "postId": post, "parentId": parent, "text": key });
        text(&ada.data(comment, json!({ "input": input })).await["createComment"]["comment"]["id"])
    };
    let parent = say(None, 0).await;
    for number in 1..12 {
        say(Some(&parent), number).await;
    }
    let replies = async |variable: &str, argument: &str| {
        let query = format!(
            "query ($id: ID! {variable}) {{ node(id: $id) {{ ... on Comment {{
                replies{argument} {{ nodes {{ id }} }} }} }} }}"
        );
        ada.data(&query, json!({ "id": parent, "first": null })).await
    };
    let absent = replies("", "").await;
    assert_eq!(absent["node"]["replies"]["nodes"].as_array().map(Vec::len), Some(10));
    assert_eq!(replies("", "(first: null)").await, absent);
    assert_eq!(replies(", $first: Int", "(first: $first)").await, absent);
    let comments = "query ($id: ID!, $order: CommentOrder) { node(id: $id) { ... on Post {
        comments(order: $order) { nodes { text } } } } }";
    let data = ada.data(comments, json!({ "id": post, "order": null })).await;
    assert_eq!(data["node"]["comments"]["nodes"], json!([{ "text": "c0" }]));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_may_come_with_the_newline_of_its_file() {
    let world = World::new().await;
    let client = world.system().await;
    let ada = client.sign_up("ada").await;
    let mut token = ada.refresh_token.clone();
    for around in [("", "\n"), ("", "\r\n"), (" \t", "\u{a0}")] {
        let answer = crate::session::refresh(&client, &format!("{}{token}{}", around.0, around.1)).await;
        assert!(answer["errors"].is_null(), "{answer}");
        token = text(&answer["data"]["refreshToken"]["refreshToken"]);
    }
    world.close().await;
}

/// graphql-spec #849; a half pair made apollo-rs panic (#608).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strings_of_documents_may_escape_any_character() {
    let world = World::new().await;
    let ada = world.system().await.sign_up("ada").await.client;
    for escaped in [r"\ud83d\ude00", r"\u{1F600}"] {
        let query =
            format!(r#"mutation {{ updateProfile(input: {{ bio: "{escaped}" }}) {{ user {{ bio }} }} }}"#);
        assert_eq!(ada.data(&query, json!({})).await["updateProfile"]["user"]["bio"], "😀", "{escaped}");
    }
    assert_eq!(ada.code(r#"{ hashtag(name: "\ud83d") { name } }"#, json!({})).await, "GRAPHQL_PARSE_FAILED");
    world.close().await;
}
