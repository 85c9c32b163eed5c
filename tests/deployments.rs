//! Files that describe deployments: each can be parsed, and what it names is there.
//!
//! The chart has checks of its own (`scripts/chart.py`), and so has `monitoring/`.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use regex::Regex;
use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{error}"))
}

fn toml(text: &str) -> Value {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// All that a pattern's first group finds.
fn found(pattern: &str, text: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).expect("a pattern");
    pattern.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

/// The names of all settings.
fn settings() -> BTreeSet<String> {
    found(r"(?m)^#?([A-Z0-9_]+)=", &read(".env.example"))
}

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Shows that each change of a text leads to a fault.
fn each_change_is_found(text: &str, faults: impl Fn(&str) -> Vec<String>, changes: &[(&str, &str)]) {
    for (from, to) in changes {
        let broken = text.replace(from, to);
        assert_ne!(broken, text, "{from}");
        assert!(!faults(&broken).is_empty(), "{from} → {to}");
    }
}

/// What is wrong with `docker-compose.yml`.
fn faults_of_compose(text: &str) -> Vec<String> {
    let compose = yaml(text);
    let mut faults = Vec::new();
    let services = compose["services"].as_object().expect("services");
    let volumes = keys(&compose["volumes"]);
    for (name, service) in services {
        if service["mem_limit"].is_null() {
            faults.push(format!("{name} has no limit of memory"));
        }
        let is_shown = texts(&service["profiles"]).contains(&"observability") || name == "balancer";
        if service["restart"] == "unless-stopped" && service["healthcheck"].is_null() && !is_shown {
            faults.push(format!("{name} has no health check"));
        }
        for other in
            keys(&service["depends_on"]).iter().map(String::as_str).chain(texts(&service["depends_on"]))
        {
            if !services.contains_key(other) {
                faults.push(format!("{name} needs {other}, which is no service"));
            }
        }
        for port in texts(&service["ports"]) {
            if !port.starts_with("127.0.0.1:") {
                faults.push(format!("{name} is published to others: {port}"));
            }
        }
        for volume in texts(&service["volumes"]) {
            let source = volume.split(':').next().unwrap_or_default();
            let is_there = match source.strip_prefix("./") {
                Some(file) => Path::new(ROOT).join(file).exists(),
                None => source == "/var/run/docker.sock" || volumes.contains(source),
            };
            if !is_there {
                faults.push(format!("{name} mounts {source}, which is not there"));
            }
        }
    }
    let environment = &services["api-0"]["environment"];
    for name in keys(environment).difference(&settings()) {
        // libpq's own.
        if name != "PGPASSWORD" {
            faults.push(format!("{name} is no setting"));
        }
    }
    let shards = |setting: &str| {
        let list = environment[setting].as_str().unwrap_or_default();
        found(r"(s[0-9]+)=postgres://", list)
    };
    if shards("SHARDS").len() != 5 {
        faults.push("there are not five shards".to_owned());
    }
    for setting in ["SHARD_DIRECT", "SHARD_REPLICAS"] {
        if shards(setting) != shards("SHARDS") {
            faults.push(format!("{setting} has not the shards of SHARDS"));
        }
    }
    let addresses: Vec<&str> =
        environment.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str()).collect();
    // Of what a process connects to; a collector and public addresses may be elsewhere.
    for host in found(r"(?:postgres|redis|nats)://(?:[a-z]+@)?([a-z0-9-]+):", &addresses.join(" ")) {
        if !services.contains_key(&host) {
            faults.push(format!("{host} is no service"));
        }
    }
    faults
}

#[test]
fn compose_names_what_is_there() {
    let text = read("docker-compose.yml");
    assert_eq!(faults_of_compose(&text), Vec::<String>::new());
    let changes = [
        (
            "s4=postgres://fowergram@pgbouncer-4:6432/fowergram",
            "s4=postgres://fowergram@pooler-4:6432/fowergram",
        ),
        ("s4=postgres://fowergram@shard-4-replica:5432", "s5=postgres://fowergram@shard-4-replica:5432"),
        ("./docker/nats.conf", "./docker/nats.cfg"),
        ("\"127.0.0.1:8000:8000\"", "\"8000:8000\""),
        ("\n  shard-4-replica:\n  storage:", "\n  storage:"),
        ("SHARD_REPLICAS: ", "SHARD_REPLICA: "),
        ("  mem_limit: 64m\n", ""),
    ];
    each_change_is_found(&text, faults_of_compose, &changes);
}

#[test]
fn pgbouncer_is_told_a_password_of_any_characters() {
    let folder = tempfile::tempdir().expect("a folder");
    // In its place: shows what it is told.
    let program = folder.path().join("pgbouncer");
    std::fs::write(&program, "#!/bin/sh\ncat \"$1\" \"${1%/*}/users.txt\"\n").expect("written");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("it can be run");
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new(Path::new(ROOT).join("docker/pgbouncer.sh"))
        .env_clear()
        .envs([("PATH", path.as_str()), ("SERVER", "shard-3"), ("PGPASSWORD", "a\"b'c\\d $e%f @:/?#;= ü`")])
        .env("CONFIGURATION", folder.path())
        .output()
        .expect("it runs");
    let told = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("\n* = host=shard-3 port=5432\n"), "{told}");
    // A quote is doubled, and nothing else means anything: `load_auth_file` of PgBouncer.
    let users = "\"fowergram\" \"a\"\"b'c\\d $e%f @:/?#;= ü`\"\n";
    assert!(told.ends_with(users), "{told}");
    let users = std::fs::metadata(folder.path().join("users.txt")).expect("a file");
    assert_eq!(users.permissions().mode() & 0o077, 0, "others can read the password");
    // What docs/OPERATIONS.md says that it needs.
    let documented = read("docs/OPERATIONS.md");
    for line in told
        .lines()
        .filter(|line| line.contains("pool_mode") || line.contains("_time") || line.contains("max_"))
    {
        assert!(documented.contains(line), "{line}");
    }
}

/// What is wrong with the Terraform files.
fn faults_of_terraform(text: &str) -> Vec<String> {
    let body = match hcl::parse(text) {
        Ok(body) => body,
        Err(error) => return vec![error.to_string()],
    };
    let (mut declared, mut faults) = (BTreeSet::new(), Vec::new());
    for block in body.blocks() {
        let labels: Vec<&str> = block.labels().iter().map(hcl::BlockLabel::as_str).collect();
        let names: Vec<String> = match (block.identifier(), labels.as_slice()) {
            ("variable", [name]) => vec![format!("var.{name}")],
            ("resource", [kind, name]) => vec![format!("{kind}.{name}")],
            ("data", [kind, name]) => vec![format!("data.{kind}.{name}")],
            ("locals", []) => {
                block.body().attributes().map(|local| format!("local.{}", local.key())).collect()
            }
            _ => Vec::new(),
        };
        for name in names {
            if !declared.insert(name.clone()) {
                faults.push(format!("{name} is declared twice"));
            }
        }
    }
    let named = found(
        r"\b((?:var|local|(?:data\.)?(?:google|kubernetes|helm|random|tls)_[a-z_]+)\.[a-z0-9_]+)\b",
        text,
    );
    for name in &named {
        if !declared.contains(name) {
            faults.push(format!("{name} is not declared"));
        }
    }
    for name in declared.iter().filter(|name| name.starts_with("var.") && !named.contains(*name)) {
        faults.push(format!("{name} is not used"));
    }
    faults
}

#[test]
fn terraform_names_what_is_there() {
    let folder = Path::new(ROOT).join("k8s/terraform");
    let files = std::fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let files = files.filter(|file| file.extension().is_some_and(|extension| extension == "tf"));
    let text: String = files.map(|file| std::fs::read_to_string(file).expect("a file") + "\n").collect();
    assert_eq!(faults_of_terraform(&text), Vec::<String>::new());
    let changes = [
        ("var.host", "var.hostname"),
        ("google_redis_instance\" \"main\"", "google_redis_instance\" \"cache\""),
        ("network = google_compute_network.main.id", "network = google_compute_network.main.id }"),
        ("variable \"host\"", "variable \"region\""),
    ];
    each_change_is_found(&text, faults_of_terraform, &changes);
    // What it gives to the chart are values of the chart.
    let values = yaml(&read("k8s/fowergram/values.yaml"));
    for name in ["image", "config", "secrets", "api", "service", "ingress"] {
        assert!(text.contains(&format!("\n    {name}")) && !values[name].is_null(), "{name}");
    }
}

/// What is wrong with the Blueprint for Render.
fn faults_of_render(text: &str) -> Vec<String> {
    let blueprint = yaml(text);
    let list = |key: &str| blueprint[key].as_array().cloned().unwrap_or_default();
    let names = |key: &str| -> BTreeSet<String> {
        list(key).iter().filter_map(|entry| entry["name"].as_str()).map(str::to_owned).collect()
    };
    let (databases, services, groups) = (names("databases"), names("services"), names("envVarGroups"));
    let settings = settings();
    let mut faults = Vec::new();
    for owner in list("services").iter().chain(&list("envVarGroups")) {
        if let Some(file) = owner["dockerfilePath"].as_str()
            && !Path::new(ROOT).join(file).is_file()
        {
            faults.push(format!("{file} is not there"));
        }
        for variable in owner["envVars"].as_array().into_iter().flatten() {
            for (from, there) in [("fromDatabase", &databases), ("fromService", &services)] {
                if let Some(name) = variable[from]["name"].as_str()
                    && !there.contains(name)
                {
                    faults.push(format!("{name} is not there"));
                }
            }
            if let Some(group) = variable["fromGroup"].as_str()
                && !groups.contains(group)
            {
                faults.push(format!("{group} is no group"));
            }
            if let Some(key) = variable["key"].as_str()
                && !settings.contains(key)
                && !text.contains(&format!("=${key}"))
            {
                faults.push(format!("{key} is no setting"));
            }
        }
    }
    faults
}

#[test]
fn render_names_what_is_there() {
    let text = read("docker/render.yaml");
    assert_eq!(faults_of_render(&text), Vec::<String>::new());
    let changes = [
        ("- name: fowergram-shard-1", "- name: fowergram-shard-2"),
        ("fromGroup: fowergram", "fromGroup: settings"),
        ("key: S3_BUCKET", "key: BUCKET"),
        ("./docker/nats.Dockerfile", "./docker/Dockerfile"),
    ];
    each_change_is_found(&text, faults_of_render, &changes);
}

/// What is wrong with the configuration for Fly.
fn faults_of_fly(text: &str) -> Vec<String> {
    let fly = toml(text);
    let processes = keys(&fly["processes"]);
    let mut faults: Vec<String> =
        keys(&fly["env"]).difference(&settings()).map(|name| format!("{name} is no setting")).collect();
    let lists = [&fly["http_service"], &fly["checks"]["worker"]].into_iter();
    let lists =
        lists.chain(["metrics", "vm"].iter().flat_map(|key| fly[*key].as_array().into_iter().flatten()));
    for process in lists.flat_map(|entry| texts(&entry["processes"])) {
        if !processes.contains(process) {
            faults.push(format!("{process} is no process"));
        }
    }
    let file = Path::new(ROOT).join("docker").join(fly["build"]["dockerfile"].as_str().unwrap_or_default());
    if !file.is_file() {
        faults.push(format!("{} is not there", file.display()));
    }
    faults
}

#[test]
fn fly_names_what_is_there() {
    assert_eq!(faults_of_fly(&read("docker/fly-nats.toml")), Vec::<String>::new());
    let text = read("docker/fly.toml");
    assert_eq!(faults_of_fly(&text), Vec::<String>::new());
    let changes = [
        ("worker = \"worker\"", "jobs = \"worker\""),
        ("HOST =", "ADDRESS ="),
        ("../Dockerfile", "Dockerfile"),
    ];
    each_change_is_found(&text, faults_of_fly, &changes);
}
