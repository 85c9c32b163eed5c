//! `monitoring/`: what Prometheus, Alertmanager and Grafana read is well-formed, names only metrics that are there, and
//! alerts when it should.

mod alerting;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fowergram::telemetry::catalog::{self, Kind};
use regex::Regex;
use serde_json::{Value, json};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Metrics of other programs.
const FOREIGN: &str = "^(up|process_|node_filesystem_|kubelet_volume_|probe_ssl_|certmanager_)";

fn file(path: &str) -> PathBuf {
    Path::new(ROOT).join("monitoring").join(path)
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// A program of Prometheus; `scripts/setup.sh test` installs them.
fn run<A: AsRef<OsStr>>(program: &str, arguments: &[A]) -> Output {
    Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn succeeds<A: AsRef<OsStr>>(program: &str, arguments: &[A]) -> Result<(), String> {
    let Output { status, stdout, stderr } = run(program, arguments);
    let told = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    if status.success() { Ok(()) } else { Err(told) }
}

/// The files of a folder.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(file(folder)).expect("a folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn dashboards() -> Vec<(String, Value)> {
    let dashboards = files("grafana/dashboards").into_iter();
    dashboards
        .map(|file| (file.display().to_string(), serde_json::from_str(&read(&file)).expect("JSON")))
        .collect()
}

/// The expressions of a dashboard, as they are without Grafana's variables.
fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    targets
        .map(|target| target["expr"].as_str().expect("an expression").replace("$__rate_interval", "5m"))
        .collect()
}

/// The expressions of all rules: what is behind `expr:`, to the next key.
fn rules() -> Vec<String> {
    let text: String = files("prometheus/rules").iter().map(read).collect();
    let expression = Regex::new(r"(?s)\bexpr: (.*?)\n\s+(?:for|labels):").expect("a pattern");
    expression.captures_iter(&text).map(|found| found[1].to_owned()).collect()
}

/// What is wrong with the names of metrics and labels in an expression.
fn unknown(expression: &str) -> Vec<String> {
    let catalog: BTreeMap<_, _> = catalog::all().map(|metric| (metric.name, metric)).collect();
    let foreign = Regex::new(FOREIGN).expect("a pattern");
    let texts = Regex::new(r#""[^"]*""#).expect("a pattern");
    let bare = texts.replace_all(expression, "");
    let (mut wrong, mut labels) = (Vec::new(), BTreeSet::from(["le", "instance", "slo", "job"]));
    let mut is_foreign = false;
    for name in Regex::new(r"\b[a-z]+_[a-z_]+\b").expect("a pattern").find_iter(&bare) {
        let name = name.as_str();
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let found = catalog.get(name).or_else(|| {
            of_histogram.and_then(|name| catalog.get(name)).filter(|metric| metric.kind == Kind::Histogram)
        });
        if let Some(metric) = found {
            labels.extend(metric.labels);
        } else if name.starts_with("fowergram_") {
            wrong.push(name.to_owned());
        }
        is_foreign |= foreign.is_match(name);
    }
    let groups = Regex::new(r"\b(?:by|on) \(([^)]*)\)").expect("a pattern");
    let selectors = Regex::new(r"([a-z_]+)\s*(?:=~|!~|!=|=)").expect("a pattern");
    let grouped = groups
        .captures_iter(&bare)
        .flat_map(|found| found[1].split(',').map(|label| label.trim().to_owned()).collect::<Vec<_>>());
    let selected = selectors.captures_iter(&bare).map(|found| found[1].to_owned());
    if !is_foreign {
        wrong.extend(
            grouped.chain(selected).filter(|label| !label.is_empty() && !labels.contains(label.as_str())),
        );
    }
    wrong
}

#[test]
fn rules_are_sound_and_fire_when_they_should() {
    succeeds(
        "promtool",
        &["check".as_ref(), "config".as_ref(), file("prometheus/prometheus.yml").as_os_str()],
    )
    .expect("the configuration");
    let tests = files("prometheus/tests");
    let arguments: Vec<&OsStr> = ["test", "rules"]
        .map(OsStr::new)
        .into_iter()
        .chain(tests.iter().map(|file| file.as_os_str()))
        .collect();
    succeeds("promtool", &arguments).expect("the tests of rules");

    // Broken copies are refused.
    let folder = tempfile::tempdir().expect("a folder");
    let copy = |name: &str, change: fn(&str) -> String| {
        for part in ["rules", "tests"] {
            std::fs::create_dir_all(folder.path().join(name).join(part)).expect("a folder");
            for file in files(&format!("prometheus/{part}")) {
                let copy = folder.path().join(name).join(part).join(file.file_name().expect("a name"));
                let text = read(&file);
                std::fs::write(copy, if part == "rules" { change(&text) } else { text }).expect("written");
            }
        }
        let tests = folder.path().join(name).join("tests/alerts.yml");
        succeeds("promtool", &["test".as_ref(), "rules".as_ref(), tests.as_os_str()])
    };
    copy("same", str::to_owned).expect("an unchanged copy");
    for (name, change) in [
        (
            "threshold",
            (|text| text.replace("< 0.5", "< 0.1").replace("> 60", "> 6000")) as fn(&str) -> String,
        ),
        ("always", |text| text.replace("fowergram_dead_events) > 0", "fowergram_dead_events) >= 0")),
        ("syntax", |text| text.replace("max(fowergram_dead_events)", "max(fowergram_dead_events")),
    ] {
        assert!(copy(name, change).is_err(), "{name}");
    }
}

#[test]
fn each_alert_has_a_severity_a_test_and_a_section_of_the_runbook() {
    let rules: String = files("prometheus/rules").iter().map(read).collect();
    let tests: String = files("prometheus/tests").iter().map(read).collect();
    let runbook = read(Path::new(ROOT).join("docs/RUNBOOK.md"));
    let anchor = |title: &str| title.to_lowercase().replace(' ', "-");
    let sections: BTreeSet<String> =
        runbook.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
    let mut linked = BTreeSet::new();
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 25);
    let url =
        Regex::new(r#"runbook_url: "\{\{ \$externalLabels.runbooks \}\}#([a-z-]+)""#).expect("a pattern");
    for alert in alerts {
        let name = alert.lines().next().expect("a name");
        assert!(
            alert.contains("labels: {severity: page}") || alert.contains("labels: {severity: ticket}"),
            "{name}"
        );
        assert!(
            alert.contains("summary: ") && alert.contains("description: ") && alert.contains("for: "),
            "{name}"
        );
        let section = url.captures(alert).unwrap_or_else(|| panic!("{name} has no runbook"))[1].to_owned();
        assert!(sections.contains(&section), "{name}: {section}");
        linked.insert(section);
        assert!(tests.contains(&format!("alertname=\"{name}\"")), "{name} has no test in which it fires");
        if !name.starts_with("ErrorBudget") {
            assert!(
                tests.contains(&format!("- name: {name} is silent")),
                "{name} has no test in which it is silent"
            );
        }
    }
    assert_eq!(linked, sections, "each section belongs to an alert");
}

#[test]
fn rules_and_dashboards_name_what_is_there() {
    let rules = rules();
    assert!(rules.len() > 60, "{}", rules.len());
    for expression in rules {
        assert_eq!(unknown(&expression), [""; 0], "{expression}");
    }
    for (file, dashboard) in dashboards() {
        for expression in expressions(&dashboard) {
            assert_eq!(unknown(&expression), [""; 0], "{file}: {expression}");
        }
    }
    // The check itself.
    for (expression, name) in [
        ("sum(rate(fowergram_nothing_total[5m]))", "fowergram_nothing_total"),
        ("sum by (endpoint) (fowergram_outbox_rows)", "endpoint"),
        (r#"fowergram_shard_up{user="x"}"#, "user"),
        ("rate(fowergram_sockets_bucket[5m])", "fowergram_sockets_bucket"),
    ] {
        assert_eq!(unknown(expression), [name], "{expression}");
    }
}

#[test]
fn dashboards_are_written_by_their_script_and_tidy() {
    let script = Path::new(ROOT).join("scripts/dashboards.py");
    succeeds("python3", &[script.as_os_str(), "--check".as_ref()]).expect("run scripts/dashboards.py");
    let mut uids = BTreeSet::new();
    for (file, dashboard) in dashboards() {
        assert!(uids.insert(dashboard["uid"].to_string()), "{file}");
        let panels = dashboard["panels"].as_array().expect("panels");
        let ids: BTreeSet<i64> = panels.iter().filter_map(|panel| panel["id"].as_i64()).collect();
        assert_eq!(ids.len(), panels.len(), "{file}");
        // No two panels share a place, and none is outside the 24 columns.
        let mut places = BTreeSet::new();
        for panel in panels {
            let side = |name: &str| panel["gridPos"][name].as_i64().expect("a number");
            for (x, y) in (side("x")..side("x") + side("w"))
                .flat_map(|x| (side("y")..side("y") + side("h")).map(move |y| (x, y)))
            {
                assert!((0..24).contains(&x) && places.insert((x, y)), "{file}: {}", panel["title"]);
            }
            assert!(
                panel["type"] == "row"
                    || panel["description"].as_str().is_some_and(|text| text.ends_with('.'))
            );
        }
        let rules: Vec<Value> = expressions(&dashboard)
            .into_iter()
            .enumerate()
            .map(|(number, expression)| json!({ "record": format!("r{number}"), "expr": expression }))
            .collect();
        // YAML contains JSON.
        let written = tempfile::NamedTempFile::new().expect("a file");
        let groups = json!({ "groups": [{ "name": "panels", "rules": rules }] });
        std::fs::write(written.path(), groups.to_string()).expect("written");
        succeeds("promtool", &["check".as_ref(), "rules".as_ref(), written.path().as_os_str()])
            .unwrap_or_else(|told| panic!("{file}: {told}"));
    }
}

#[test]
fn alertmanager_takes_what_the_settings_give() {
    let configure = |settings: &[(&str, &str)]| {
        let mut command = Command::new(file("alertmanager/configure.sh"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let output = command.envs(settings.iter().copied()).output().expect("it runs");
        output.status.success().then(|| String::from_utf8(output.stdout).expect("UTF-8"))
    };
    let strange = "it's: a \"#key\" {of} \\ml";
    let mail = [
        ("ALERT_MAIL_TO", "ops@example.org"),
        ("ALERT_MAIL_FROM", "a@example.org"),
        ("ALERT_SMTP_HOST", "mail:25"),
    ];
    let all = [
        &mail[..],
        &[("ALERT_WEBHOOK_URL", "http://hook/x?a=b#c"), ("ALERT_SLACK_URL", "https://slack/x")],
        &[("ALERT_PAGERDUTY_KEY", strange), ("ALERT_SMTP_USER", "u"), ("ALERT_SMTP_PASSWORD", strange)],
        &[("ALERT_SMTP_TLS", "false")],
    ]
    .concat();
    // Mail, webhook and Slack for pages and tickets, PagerDuty for pages alone.
    for (settings, receivers) in [(&[][..], 0), (&mail, 2), (&all, 7)] {
        let text = configure(settings).unwrap_or_else(|| panic!("{settings:?}"));
        assert_eq!(text.matches("_configs: ").count(), receivers, "{text}");
        let written = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(written.path(), &text).expect("written");
        succeeds("amtool", &["check-config".as_ref(), written.path().as_os_str()])
            .expect("Alertmanager takes it");
    }
    assert!(configure(&all).is_some_and(|text| text.contains(&strange.replace('\'', "''"))));
    assert!(configure(&mail[..1]).is_none(), "mail without a server");
    assert!(
        configure(&[&mail[..], &[("ALERT_SMTP_TLS", "no")]].concat()).is_none(),
        "neither true nor false"
    );
    assert!(configure(&[("ALERT_WEBHOOK_URL", "http://a\nreceivers: []")]).is_none(), "two lines");
}
