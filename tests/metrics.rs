//! What operators are told in numbers: every metric is in the catalog and in its documentation, and says no more than
//! it should.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use fowergram::app::Role;
use fowergram::telemetry::catalog::{self, Kind, Metric};
use regex::Regex;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use crate::harness::binary::{self, Running};
use crate::harness::client::{Client, Person, text};
use crate::harness::{World, eventually};

const OPERATION: &str = "query Viewer { viewer { user { id } } }";

fn catalog() -> BTreeMap<&'static str, &'static Metric> {
    catalog::all().map(|metric| (metric.name, metric)).collect()
}

/// The names that the sources say.
fn said() -> BTreeSet<String> {
    fn visit(folder: &Path, found: &mut String) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                visit(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !path.ends_with("catalog.rs")
            {
                found.push_str(&std::fs::read_to_string(&path).expect("a file"));
            }
        }
    }
    let mut sources = String::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
    let name = Regex::new(r#""(fowergram_[a-z_]+)""#).expect("a pattern");
    name.captures_iter(&sources).map(|found| found[1].to_owned()).collect()
}

#[test]
fn the_catalog_has_every_metric_and_no_other() {
    let listed: BTreeSet<String> = catalog().into_keys().map(str::to_owned).collect();
    assert_eq!(listed.len(), catalog::all().count(), "a metric is there twice");
    assert_eq!(said(), listed);
    for metric in catalog::all() {
        assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
        assert_eq!(
            metric.kind == Kind::Histogram,
            metric.name.ends_with("_seconds") && metric.kind != Kind::Gauge
        );
        assert!(
            !metric.help.ends_with('.') && metric.help.starts_with(|c: char| c.is_uppercase() || c == '1')
        );
    }
}

#[tokio::test]
async fn the_documentation_is_written_from_the_catalog() {
    let printed = binary::run(&["metrics".to_owned()], &[]).await;
    let committed = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/METRICS.md"));
    assert_eq!(printed.output, committed.expect("docs/METRICS.md"), "run `make metrics`");
}

/// A time series as a line of `/metrics`.
#[derive(Debug)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

async fn scrape(address: SocketAddr) -> (String, Vec<Series>) {
    let url = format!("http://{address}/metrics");
    let text = reqwest::get(url).await.expect("an answer").text().await.expect("text");
    let line = Regex::new(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$").expect("a pattern");
    let label = Regex::new(r#"([a-z_]+)="((?:[^"\\]|\\.)*)""#).expect("a pattern");
    let series = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|text| {
        let found = line.captures(text).unwrap_or_else(|| panic!("{text}"));
        let labels = found.get(2).map_or("", |labels| labels.as_str());
        Series {
            name: found[1].to_owned(),
            labels: label
                .captures_iter(labels)
                .map(|pair| (pair[1].to_owned(), pair[2].to_owned()))
                .collect(),
            value: found[3].parse().expect("a number"),
        }
    });
    let series = series.collect();
    (text, series)
}

/// The sum of all series with this name and these labels.
fn sum(series: &[Series], name: &str, labels: &[(&str, &str)]) -> f64 {
    let is_meant = |series: &&Series| {
        series.name == name
            && labels
                .iter()
                .all(|(label, value)| series.labels.get(*label).is_some_and(|found| found == value))
    };
    series.iter().filter(is_meant).map(|series| series.value).sum()
}

/// Prometheus finds nothing to say about the form: help texts, units, names.
async fn lint(text: &str) {
    let mut command = tokio::process::Command::new("promtool");
    let command = command
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut promtool = command.spawn().expect("promtool runs");
    let mut input = promtool.stdin.take().expect("its input");
    input.write_all(text.as_bytes()).await.expect("written");
    drop(input);
    let said = promtool.wait_with_output().await.expect("it ends");
    let said = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert_eq!(said, "");
}

/// A process shows only what the catalog says, with the labels that it says, and nothing of people in them.
fn check(text: &str, series: &[Series], people: &[&Person]) {
    let catalog = catalog();
    for metric in catalog.values() {
        let kind = format!("# TYPE {} {}\n", metric.name, metric.kind.name());
        let help = format!("# HELP {} {}\n", metric.name, metric.help);
        if text.contains(&format!("# TYPE {} ", metric.name)) {
            assert!(text.contains(&kind) && text.contains(&help), "{}", metric.name);
        }
    }
    let uuid = Regex::new("[0-9a-f]{8}-[0-9a-f]{4}|[0-9a-f]{32}").expect("a pattern");
    for Series { name, labels, .. } in series {
        if name.starts_with("process_") {
            continue;
        }
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let metric = catalog.get(name.as_str()).or_else(|| catalog.get(of_histogram?));
        let metric = metric.unwrap_or_else(|| panic!("{name} is not in the catalog"));
        let names: Vec<&str> = labels.keys().map(String::as_str).filter(|label| *label != "le").collect();
        let mut expected = metric.labels.to_vec();
        expected.sort_unstable();
        assert_eq!(names, expected, "{name}");
        for value in labels.values() {
            assert!(!uuid.is_match(value) && !value.contains(['@', ' ']), "{name}: {value}");
            assert!(value.len() <= 40, "{name}: {value}");
            assert!(people.iter().all(|person| !value.contains(&person.username)), "{name}: {value}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_story_is_seen_in_the_numbers_of_its_processes() {
    let world = World::new().await;
    // The world is closed by a process of its own.
    world.process(Role::Api).await;
    let settings = world.settings_with(&["--operation-names=Viewer, Unused"]);
    let (_api, address) = Running::serve(&settings).await;
    let worker = Running::start("worker", &settings);
    let of_worker: SocketAddr = text(&worker.logged("working").await["address"]).parse().expect("an address");
    let client = Client::new(address);
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);

    let mut notified = ada.client.stream("subscription { newNotification { __typename } }", json!({})).await;
    let post = ada.client.post("a picture").await;
    notified
        .told_of(async || {
            bob.comment(&post, None, "look").await;
        })
        .await;
    bob.follow(&ada).await;
    bob.like(&post).await;
    ada.write(json!({ "userId": bob.id }), "hello").await;
    for _ in 0..3 {
        bob.client.data(OPERATION, json!({})).await;
    }
    // A name that nobody has set, which may be anything.
    let named = format!("query N{} {{ viewer {{ user {{ id }} }} }}", bob.id.replace('-', "_"));
    bob.client.data(&named, json!({})).await;
    bob.client.code("{ nothing }", json!({})).await;
    bob.client.code("mutation { deletePost(id: \"x\") { deletedId } }", json!({})).await;

    eventually("the effects are counted", async || {
        let (_, series) = scrape(of_worker).await;
        let done =
            |effect| sum(&series, "fowergram_effects_total", &[("effect", effect), ("outcome", "done")]);
        (done("feed") > 0.0 && done("mirror") > 1.0 && done("notification") > 1.0 && done("inbox") > 0.0)
            .then_some(())
    })
    .await;
    let (shown, series) = scrape(address).await;
    lint(&shown).await;
    check(&shown, &series, &[&ada, &bob]);
    let activity = |activity| sum(&series, "fowergram_activity_total", &[("activity", activity)]);
    for (name, count) in [("sign_up", 2.0), ("post", 1.0), ("message", 1.0), ("like", 1.0), ("follow", 1.0)] {
        assert!((activity(name) - count).abs() < 0.5, "{name}: {}", activity(name));
    }
    let operations = |labels: &[(&str, &str)]| sum(&series, "fowergram_graphql_operations_total", labels);
    assert!((operations(&[("operation", "Viewer"), ("outcome", "OK")]) - 3.0).abs() < 0.5);
    assert!(operations(&[("type", "refused"), ("outcome", "GRAPHQL_VALIDATION_FAILED")]) > 0.5);
    assert!(operations(&[("operation", "other"), ("outcome", "BAD_USER_INPUT")]) > 0.5);
    for (name, labels) in [
        ("fowergram_sockets", &[][..]),
        ("fowergram_subscriptions", &[]),
        ("fowergram_live_delivery_seconds_count", &[]),
        ("fowergram_pool_connections", &[("state", "idle")]),
        ("fowergram_pool_max_connections", &[("endpoint", "primary")]),
        ("fowergram_pool_wait_seconds_count", &[("endpoint", "primary")]),
        ("fowergram_query_duration_seconds_count", &[("table", "users")]),
        ("fowergram_query_duration_seconds_count", &[("table", "posts")]),
        ("fowergram_query_duration_seconds_count", &[("table", "transaction")]),
        ("fowergram_shard_up", &[]),
        ("fowergram_cache_requests_total", &[("cache", "token"), ("outcome", "hit")]),
        ("fowergram_cache_requests_total", &[("cache", "document"), ("outcome", "hit")]),
        ("fowergram_graphql_errors_total", &[("code", "BAD_USER_INPUT")]),
        ("fowergram_token_key_age_seconds", &[]),
        ("fowergram_build_info", &[("role", "api")]),
        ("fowergram_tokio_tasks", &[]),
        ("process_resident_memory_bytes", &[]),
        ("process_start_time_seconds", &[]),
    ] {
        assert!(sum(&series, name, labels) > 0.0, "{name} {labels:?}");
    }

    let (shown, series) = scrape(of_worker).await;
    lint(&shown).await;
    check(&shown, &series, &[&ada, &bob]);
    for (name, labels) in [
        ("fowergram_effect_duration_seconds_count", &[("effect", "feed")][..]),
        ("fowergram_build_info", &[("role", "worker")]),
        ("process_open_fds", &[]),
    ] {
        assert!(sum(&series, name, labels) > 0.0, "{name} {labels:?}");
    }
    let http = reqwest::Client::new();
    let status = async |path: &str| {
        http.get(format!("http://{of_worker}{path}")).send().await.expect("an answer").status().as_u16()
    };
    assert_eq!((status("/health").await, status("/ready").await), (200, 200));
    assert_eq!((status("/graphql").await, status("/playground").await), (404, 404));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_statements_know_every_table() {
    let world = World::new().await;
    world.system().await;
    let sql = "select coalesce(json_agg(tablename order by tablename), '[]') as tables from pg_tables
        where schemaname = current_schema() and tablename not in ('sharded_tables', 'seaql_migrations')";
    let rows = world.rows(0, sql).await;
    assert_eq!(rows[0]["tables"], json!(fowergram::store::shard::TABLES));
    world.close().await;
}
