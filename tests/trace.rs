//! Traces: one goes from a request to all that follows from it, and none says what it must not.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use fowergram::app::Role;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::harness::act::SEND;
use crate::harness::binary::Running;
use crate::harness::client::{Client, PASSWORD, code};
use crate::harness::{World, eventually};

/// What an OTLP collector was sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Received>>>);

#[derive(Clone)]
struct Received {
    role: String,
    span: Span,
}

fn value(of: &[KeyValue], key: &str) -> String {
    let found = of.iter().find(|pair| pair.key == key).and_then(|pair| pair.value.clone());
    match found.and_then(|found| found.value) {
        Some(any_value::Value::StringValue(text)) => text,
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

fn all_text(pairs: &[KeyValue]) -> String {
    pairs.iter().map(|pair| format!("{pair:?}")).collect::<Vec<_>>().join(" ")
}

impl Received {
    fn get(&self, key: &str) -> String {
        value(&self.span.attributes, key)
    }

    fn trace(&self) -> String {
        Uuid::from_slice(&self.span.trace_id).expect("16 bytes").simple().to_string()
    }

    /// All that it says.
    fn text(&self) -> String {
        let events: String =
            self.span.events.iter().map(|event| event.name.clone() + &all_text(&event.attributes)).collect();
        format!("{} {} {events}", self.span.name, all_text(&self.span.attributes))
    }
}

impl Collector {
    async fn start() -> (Self, SocketAddr) {
        let collector = Self::default();
        let taking = collector.clone();
        let take = move |body: Bytes| {
            let taking = taking.clone();
            async move { taking.take(&body) }
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        TaskTracker::new()
            .spawn(async move { axum::serve(listener, Router::new().route("/v1/traces", post(take))).await });
        (collector, address)
    }

    fn take(&self, body: &[u8]) {
        let sent = ExportTraceServiceRequest::decode(body).expect("OTLP");
        let mut received = self.0.lock().expect("no panic");
        for resource in sent.resource_spans {
            let attributes = resource.resource.map(|resource| resource.attributes).unwrap_or_default();
            assert_eq!(value(&attributes, "service.name"), "fowergram");
            let role = value(&attributes, "fowergram.role");
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                received.push(Received { role: role.clone(), span });
            }
        }
    }

    fn all(&self) -> Vec<Received> {
        self.0.lock().expect("no panic").clone()
    }

    fn of(&self, trace: &str) -> Vec<Received> {
        self.all().into_iter().filter(|received| received.trace() == trace).collect()
    }
}

/// Posts an operation with a trace's header.
async fn traced(client: &Client, header: &str, query: &str, variables: Value) -> Value {
    let request = client.http.post(client.url()).bearer_auth(client.token.as_deref().expect("a token"));
    let request =
        request.header("traceparent", header).json(&json!({ "query": query, "variables": variables }));
    request.send().await.expect("an answer").json().await.expect("JSON")
}

/// Nothing that is a secret is in a span or in a log line, however much is logged.
fn check_secrets(settings: &[String], secrets: &[&str], texts: impl Iterator<Item = String>) {
    let password = |setting: &String| {
        let (user, _) = setting.split_once("://")?.1.split_once('@')?;
        user.split_once(':').map(|(_, password)| password.to_owned())
    };
    let credentials: BTreeSet<String> = settings.iter().filter_map(password).collect();
    assert!(!credentials.is_empty(), "{settings:?}");
    for text in texts {
        for secret in secrets.iter().copied().chain(credentials.iter().map(String::as_str)) {
            let line = text.lines().find(|line| line.contains(secret));
            assert!(line.is_none(), "{secret}: {}", line.unwrap_or_default());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_goes_from_a_request_to_its_effects_and_says_no_secret() {
    let world = World::new().await;
    // The world is closed by a process of its own.
    world.process(Role::Api).await;
    let (collector, address) = Collector::start().await;
    let collector_setting = format!("--otel-exporter-otlp-endpoint=http://{address}");
    let settings = world.settings_with(&[&collector_setting, "--log=trace"]);
    let (api, address) = Running::serve(&settings).await;
    let worker = Running::start("worker", &settings);
    worker.logged("working").await;
    let client = Client::new(address);
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    bob.follow(&ada).await;

    let trace = Uuid::new_v4().simple().to_string();
    let header = format!("00-{trace}-00f067aa0ba902b7-00");
    let words = "the heron waits at noon";
    let input = json!({ "idempotencyKey": Uuid::new_v4(), "to": { "userId": bob.id }, "text": words });
    let sent = traced(&ada.client, &header, SEND, json!({ "input": input })).await;
    assert!(sent["errors"].is_null(), "{sent}");

    let complete = async || {
        let spans = collector.of(&trace);
        let has = |role: &str, name: &str| {
            spans.iter().any(|span| span.role == role && span.span.name.contains(name))
        };
        let wanted = [
            ("api", "POST /graphql"),
            ("api", "mutation"),
            ("api", "Mutation.sendMessage"),
            ("api", " messages"),
            ("api", " transaction"),
            ("worker", "effect inbox"),
            ("worker", "effect notification"),
            ("worker", " inbox"),
        ];
        wanted.into_iter().all(|(role, name)| has(role, name)).then_some(spans)
    };
    let spans = eventually("all spans of the trace", complete).await;
    let ids: BTreeSet<&[u8]> = spans.iter().map(|span| &*span.span.span_id).collect();
    let client_span = [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7];
    for span in &spans {
        let parent = &*span.span.parent_span_id;
        let is_root = span.span.name == "POST /graphql";
        assert!(if is_root { parent == client_span } else { ids.contains(parent) }, "{}", span.text());
    }
    let root = spans.iter().find(|span| span.span.name == "POST /graphql").expect("the request");
    assert_eq!(root.get("http.response.status_code"), "IntValue(200)");
    let statement =
        spans.iter().find(|span| span.get("db.collection.name") == "messages").expect("a statement");
    assert!(
        statement.get("db.query.text").contains("messages") && statement.get("db.namespace").starts_with('s')
    );

    // A fault: its log line and its span are found by each other.
    let trace = Uuid::new_v4().simple().to_string();
    world.execute(world.owner(&ada.id), "alter table sessions rename to gone").await;
    let query = "{ viewer { sessions { id } } }";
    let answer = traced(&ada.client, &format!("00-{trace}-00f067aa0ba902b7-01"), query, json!({})).await;
    assert_eq!(code(&answer).as_deref(), Some("INTERNAL"), "{answer}");
    world.execute(world.owner(&ada.id), "alter table gone rename to sessions").await;
    let log = api.log();
    let line = log.iter().find(|line| line["message"] == "a resolver failed").expect("a line");
    assert_eq!(
        (&line["trace_id"], &line["request_id"]),
        (&json!(trace), &answer["errors"][0]["extensions"]["requestId"])
    );
    let failed = async || {
        let spans = collector.of(&trace);
        spans.into_iter().find(|span| span.get("graphql.error.code") == "INTERNAL")
    };
    let failed = eventually("the span of the fault", failed).await;
    assert_eq!(failed.span.status.map(|status| status.code), Some(StatusCode::Error as i32));

    // A header that follows no format starts a trace of its own.
    for broken in
        ["", &"0".repeat(10_000), "00-0-0-00", "ff-00000000000000000000000000000000-0000000000000000-01", "x"]
    {
        let answer = traced(&ada.client, broken, "{ viewer { user { id } } }", json!({})).await;
        assert_eq!(answer["data"]["viewer"]["user"]["id"], json!(ada.id), "{broken}");
    }

    // Operations of sockets and event streams continue the trace that these were opened with.
    let trace = Uuid::new_v4().simple().to_string();
    let request = ada
        .client
        .stream_request(Method::POST)
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let request =
        request.header("accept", "text/event-stream").json(&json!({ "query": "{ viewer { user { id } } }" }));
    let answer = request.send().await.expect("an answer").text().await.expect("events");
    assert!(answer.contains(&ada.id), "{answer}");
    eventually("the spans of an operation on a stream", async || {
        let spans = collector.of(&trace);
        let has = |name: &str| spans.iter().any(|span| span.span.name == name);
        (has("socket operation") && has("query") && has("Query.viewer")).then_some(())
    })
    .await;

    let token = ada.client.token.clone().expect("a token");
    let secrets = [&token, &ada.refresh_token, PASSWORD, words, "ada@", "bob@"];
    let logs = [api.text(), worker.text()];
    check_secrets(&settings, &secrets, collector.all().iter().map(Received::text).chain(logs));
    drop((api, worker));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_sampled_makes_no_span_anywhere() {
    let world = World::new().await;
    // The world is closed by a process of its own.
    world.process(Role::Api).await;
    let (collector, address) = Collector::start().await;
    let collector_setting = format!("--otel-exporter-otlp-endpoint=http://{address}");
    let sampled = |share| world.settings_with(&[&collector_setting, share]);
    let (api, address) = Running::serve(&sampled("--otel-traces-sampler-arg=0.5")).await;
    // A worker records what the API process has recorded, whatever its own share is.
    let worker = Running::start("worker", &sampled("--otel-traces-sampler-arg=0"));
    worker.logged("working").await;
    let client = Client::new(address);
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    bob.follow(&ada).await;

    // The lower half of an id decides. The client's flags say the contrary.
    let [left_out, recorded] =
        ["ffffffffffffffff", "0000000000000001"].map(|half| format!("4bf92f3577b34da6{half}"));
    for (trace, flags) in [(&left_out, "01"), (&recorded, "00")] {
        let input = json!({ "idempotencyKey": Uuid::new_v4(), "to": { "userId": bob.id }, "text": "hello" });
        let header = format!("00-{trace}-00f067aa0ba902b7-{flags}");
        let sent = traced(&ada.client, &header, SEND, json!({ "input": input })).await;
        assert!(sent["errors"].is_null(), "{sent}");
    }
    eventually("the spans of what is recorded", async || {
        let spans = collector.of(&recorded);
        let has = |role: &str, name: &str| {
            spans.iter().any(|span| span.role == role && span.span.name.contains(name))
        };
        let wanted = [("api", " messages"), ("worker", "effect inbox"), ("worker", " inbox")];
        wanted.into_iter().all(|(role, name)| has(role, name)).then_some(())
    })
    .await;
    assert!(collector.of(&left_out).is_empty());
    // Of the requests without a trace of their client, about half are recorded: those as a whole.
    eventually("the parents of all spans", async || {
        let spans = collector.all();
        let ids: BTreeSet<&[u8]> = spans.iter().map(|received| &*received.span.span_id).collect();
        let has_parent = |received: &Received| ids.contains(&*received.span.parent_span_id);
        spans
            .iter()
            .all(|received| received.span.name == "POST /graphql" || has_parent(received))
            .then_some(())
    })
    .await;
    drop((api, worker));
    world.close().await;
}
