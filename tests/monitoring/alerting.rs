//! The whole way of an alert: a shard is stopped, Prometheus sees it in what the processes show, and Alertmanager tells a
//! webhook, which is told as well when the shard is back.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::routing::post;
use axum::{Json, Router};
use fowergram::app::Role;
use regex::Regex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::{dashboards, expressions, file, read, rules};
use crate::harness::binary::Running;
use crate::harness::client::{Client, text};
use crate::harness::server::Server;
use crate::harness::{PATIENCE, PATIENT, World, eventually};

/// Metrics that are there only after what they count, which does not happen here.
const UNSEEN: &[&str] = &[
    "fowergram_backfill_rows_total",
    "fowergram_redeliveries_total",
    "fowergram_replica_lag_seconds",
    "fowergram_shard_lagging_reads_total",
    "fowergram_sockets_closed_total",
];

/// What a webhook was told.
#[derive(Clone, Default)]
struct Webhook(Arc<Mutex<Vec<Value>>>);

impl Webhook {
    async fn start() -> (Self, SocketAddr) {
        let webhook = Self::default();
        let told = webhook.clone();
        let take = move |Json(body): Json<Value>| {
            let told = told.clone();
            async move { told.0.lock().expect("no panic").push(body) }
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serve = async move { axum::serve(listener, Router::new().route("/", post(take))).await };
        TaskTracker::new().spawn(serve);
        (webhook, address)
    }

    /// The first alert of this name and state.
    fn alert(&self, name: &str, status: &str) -> Option<Value> {
        let told = self.0.lock().expect("no panic");
        let mut alerts = told.iter().flat_map(|body| body["alerts"].as_array().into_iter().flatten());
        alerts.find(|alert| alert["labels"]["alertname"] == name && alert["status"] == status).cloned()
    }
}

/// `monitoring/` as it is, but quicker: what waits for minutes waits for a second. A scrape may take as long as the
/// time between two of them, and on a loaded machine a second is too short.
fn quickly(text: &str) -> String {
    let waits = Regex::new(r"\b(for|group_wait|group_interval|evaluation_interval): \w+").expect("a pattern");
    let scrapes = Regex::new(r"\bscrape_interval: \w+").expect("a pattern");
    scrapes.replace_all(&waits.replace_all(text, "$1: 1s"), "scrape_interval: 5s").into_owned()
}

async fn start_alertmanager(webhook: SocketAddr) -> Server {
    let configured = tokio::process::Command::new(file("alertmanager/configure.sh"))
        .env("ALERT_WEBHOOK_URL", format!("http://{webhook}/"))
        .output()
        .await
        .expect("it runs");
    let config = quickly(&String::from_utf8(configured.stdout).expect("UTF-8"));
    let arguments =
        ["--web.listen-address=127.0.0.1:PORT", "--storage.path=FOLDER/data", "--cluster.listen-address="];
    Server::start("prometheus-alertmanager", &config, &arguments).await
}

async fn start_prometheus(rules: &Path, alertmanager: u16, targets: [SocketAddr; 2]) -> Server {
    for name in ["alerts.yml", "slo.yml"] {
        let rule = quickly(&read(file("prometheus/rules").join(name)));
        std::fs::write(rules.join(name), rule).expect("written");
    }
    let config = quickly(&read(file("prometheus/prometheus.yml")))
        .replace("rules/*.yml", rules.join("*.yml").to_str().expect("UTF-8"))
        .replace("alertmanager:9093", &format!("127.0.0.1:{alertmanager}"))
        .replace("api-0:8000, api-1:8000", &targets[0].to_string())
        .replace("worker-0:8001, worker-1:8001", &targets[1].to_string())
        .replace("localhost:9090", "127.0.0.1:PORT");
    let arguments = ["--web.listen-address=127.0.0.1:PORT", "--storage.tsdb.path=FOLDER/data"];
    Server::start("prometheus", &config, &arguments).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_down_reaches_a_webhook_and_so_does_its_return() {
    let world = World::alone().await;
    // The world is closed by a process of its own.
    let app = world.process(Role::Api).await;
    let settings = world.settings_with(&[&["--log=warn,fowergram=info"], &PATIENT[..]].concat());
    let (_api, address) = Running::serve(&settings).await;
    let worker = Running::start("worker", &settings);
    let of_worker: SocketAddr = text(&worker.logged("working").await["address"]).parse().expect("an address");
    let (webhook, hook) = Webhook::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let alertmanager = start_alertmanager(hook).await;
    let prometheus = start_prometheus(folder.path(), alertmanager.port, [address, of_worker]).await;

    let http = reqwest::Client::builder().timeout(PATIENCE).build().expect("a client");
    let ask = async |path: &str, query: &[(&str, &str)]| -> Value {
        let request = http.get(format!("http://127.0.0.1:{}/api/v1/{path}", prometheus.port)).query(query);
        request.send().await.expect("an answer").json().await.expect("JSON")
    };
    let count = async |query: &str| {
        let answer = ask("query", &[("query", query)]).await;
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().expect("a result").len()
    };
    let client = Client::new(address);
    let (person, other) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let post = person.client.post("a picture").await;
    let likes = "subscription ($id: ID!) { postLiked(postId: $id) { __typename } }";
    let _likes = person.client.stream(likes, json!({ "id": post })).await;
    let mut notified =
        person.client.stream("subscription { newNotification { __typename } }", json!({})).await;
    notified
        .told_of(async || {
            other.comment(&post, None, "look").await;
        })
        .await;
    eventually("Prometheus has seen both processes and all shards", async || {
        let servers = count(r#"fowergram_shard_up{endpoint="primary"} == 1"#).await;
        (servers == 8 && count("fowergram_build_info").await == 2).then_some(())
    })
    .await;
    eventually("all rules are evaluated", async || {
        let answer = ask("rules", &[]).await;
        let groups = answer["data"]["groups"].as_array().expect("groups");
        let rules: Vec<&Value> =
            groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")).collect();
        assert!(rules.len() > 60 && rules.iter().all(|rule| rule["health"] != "err"), "{answer}");
        rules.iter().all(|rule| rule["health"] == "ok").then_some(())
    })
    .await;

    let shard = app.domain().store.owner(person.user_id().slot());
    let server = &world.servers().postgres()[shard];
    server.kill().await;
    // Somebody's request fails, which is counted.
    eventually("a request fails", async || {
        let answer = person.client.ask("{ viewer { user { id } } }", json!({})).await;
        answer["errors"].is_array().then_some(())
    })
    .await;
    let firing = eventually("the webhook is told", async || webhook.alert("ShardDown", "firing")).await;
    assert_eq!(firing["labels"]["shard"], json!(format!("s{shard}")));
    assert_eq!(firing["labels"]["severity"], "page");
    assert_eq!(firing["annotations"]["summary"], json!(format!("Shard s{shard} is down")));
    assert_eq!(firing["annotations"]["runbook_url"], "docs/RUNBOOK.md#shard-down");
    server.start().await.expect("PostgreSQL starts");
    let resolved = eventually("and of the return", async || webhook.alert("ShardDown", "resolved")).await;
    assert_eq!(resolved["labels"], firing["labels"]);

    // Every panel can be drawn, and most have something to show.
    let (mut drawn, mut empty) = (0, Vec::new());
    for (_, dashboard) in dashboards() {
        for expression in expressions(&dashboard) {
            drawn += 1;
            if count(&expression).await == 0 {
                empty.push(expression);
            }
        }
    }
    assert!(drawn > 80 && empty.len() < drawn / 4, "{} of {drawn}: {empty:#?}", empty.len());
    let name = Regex::new(r"\bfowergram_[a-z_]+\b").expect("a pattern");
    let drawn = dashboards().iter().flat_map(|(_, dashboard)| expressions(dashboard)).collect::<Vec<_>>();
    let all = [rules(), drawn].concat().join("\n");
    let unseen: BTreeSet<&str> = UNSEEN.iter().copied().collect();
    let names: BTreeSet<&str> = name.find_iter(&all).map(|found| found.as_str()).collect();
    for name in names.difference(&unseen) {
        eventually(&format!("{name} is there"), async || (count(name).await > 0).then_some(())).await;
    }
    drop((prometheus, alertmanager));
    world.close().await;
}
