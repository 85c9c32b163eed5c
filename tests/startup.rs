//! What an operator does wrong is one line that says which setting it is, and what to do.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use clap::CommandFactory as _;
use fowergram::cli::Cli;

use crate::harness::World;
use crate::harness::binary::{Ended, Running, run};

/// Nothing listens on port 1, and nobody may.
const NOWHERE: &str = "--shards=s0=postgres://fowergram:secret-word@127.0.0.1:1/none";

fn arguments(text: &[&str]) -> Vec<String> {
    text.iter().map(|part| (*part).to_owned()).collect()
}

/// The one line of a command that must not start.
async fn refused(text: &[&str], environment: &[(&str, &str)]) -> String {
    one_line(&run(&arguments(text), environment).await)
}

fn one_line(ended: &Ended) -> String {
    assert!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
    assert_eq!(ended.output, "", "{ended:?}");
    let [line] = &*ended.told else { panic!("not one line: {ended:?}") };
    assert!(!line.contains("secret-word"), "{line}");
    line.strip_prefix("fowergram: ").unwrap_or_else(|| panic!("{line}")).to_owned()
}

/// The settings of a world with one of them changed.
fn changed(world: &World, command: &str, change: &str) -> Vec<String> {
    let mut all = vec![command.to_owned()];
    all.extend(world.settings_with(&[change]));
    all
}

#[tokio::test]
async fn a_missing_setting_is_named_with_its_flag() {
    for command in ["serve", "worker", "seed"] {
        let line = refused(&[command], &[("SHARDS", "s0=postgres://127.0.0.1:1/none")]).await;
        assert!(
            line.starts_with("TOKEN_KEY_FILE is missing: set it, or give --token-key-file (The file"),
            "{line}"
        );
        let line = refused(&[command], &[("TOKEN_KEY_FILE", "key.pem")]).await;
        assert!(
            line.starts_with("SHARDS is missing: set it, or give --shards (The shards' primaries"),
            "{line}"
        );
    }
    let line = refused(&["migrate", "up"], &[]).await;
    assert!(line.starts_with("SHARDS is missing"), "{line}");
}

#[tokio::test]
async fn a_wrong_setting_is_named_without_its_value() {
    let serve = ["serve", "--token-key-file=key.pem", NOWHERE];
    for (name, value, why) in [
        ("PORT", "secret", "PORT is wrong: "),
        ("LOG_FORMAT", "secret-word", "LOG_FORMAT is wrong: set it to json or text"),
        ("REDIS_URL", "secret-word", "REDIS_URL is wrong: "),
        ("REDIS_URL", "http://127.0.0.1", "REDIS_URL: "),
        ("NAMESPACE", "secret-word!", "NAMESPACE is wrong: 1 to 32 letters"),
        (
            "SHARD_REPLICAS",
            "s0=mysql://u:secret-word@h/d",
            "SHARD_REPLICAS is wrong: the address of shard s0",
        ),
        ("SHARD_REPLICAS", "s7=postgres://u:secret-word@h/d", "SHARD_REPLICAS: there is no shard s7"),
        ("CORS_HEADERS", "x-good,secret word", "CORS_HEADERS: must be names of headers"),
        ("CORS_HEADERS", "secret:word", "CORS_HEADERS: must be names of headers"),
        ("CORS_HEADERS", "*", "CORS_HEADERS: must be names of headers"),
        ("IMAGE_WORKERS", "0", "IMAGE_WORKERS: must be at least 1"),
        ("LOG", "=/=", "LOG: "),
    ] {
        let line = refused(&serve, &[(name, value)]).await;
        assert!(line.starts_with(why), "{name}={value}: {line}");
    }
    let line = refused(&["serve", "--nonsense"], &[]).await;
    assert!(line.contains("--nonsense") && line.ends_with("see --help"), "{line}");
    let line = refused(&["nonsense"], &[]).await;
    assert!(line.contains("nonsense") && line.ends_with("see --help"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_named() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let serve = ["serve", "--token-key-file=key.pem", NOWHERE];
    for command in [&serve[..], &["dev"]] {
        let line = refused(command, &[("PORT", &port)]).await;
        assert!(line.contains(&format!("127.0.0.1:{port}")) && line.contains("PORT"), "{line}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_installed_is_named() {
    let line = refused(&["dev", "--port=0"], &[("PATH", "/nowhere")]).await;
    assert!(line.contains("PostgreSQL") || line.contains("postgres"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_key_is_named() {
    let world = World::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key.pem");
    for content in
        [None, Some("secret-word"), Some("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")]
    {
        if let Some(content) = content {
            std::fs::write(&file, content).expect("a file");
        }
        let setting = format!("--token-key-file={}", file.display());
        let line = one_line(&run(&changed(&world, "serve", &setting), &[]).await);
        assert!(line.starts_with("TOKEN_KEY_FILE: ") && line.contains("key.pem"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_that_can_not_be_used_are_named() {
    let world = World::new().await;
    let away = changed(&world, "serve", &format!("{NOWHERE},s1=postgres://127.0.0.1:1/none"));
    let line = one_line(&run(&away, &[]).await);
    assert!(
        line.starts_with("SHARDS: s0 can't be reached, s1 can't be reached; start the servers"),
        "{line}"
    );

    // A database of the same server that nobody has migrated.
    let url = world.shard_url(0);
    let empty = url.replace("/t", "/postgres?application_name=t");
    for command in ["serve", "worker"] {
        let line = one_line(&run(&changed(&world, command, &format!("--shards=s0={empty}")), &[]).await);
        assert!(line.starts_with("SHARDS: s0 was never migrated; "), "{line}");
        assert!(line.ends_with("or run `fowergram migrate up`"), "{line}");
    }

    // The map names four shards.
    let line = one_line(&run(&changed(&world, "serve", &format!("--shards=s0={url}")), &[]).await);
    assert!(line.starts_with("SHARDS: the shard map names s"), "{line}");
}

#[tokio::test]
async fn each_command_has_help_and_keeps_secrets() {
    fn all(command: &clap::Command, path: &[String], found: &mut Vec<Vec<String>>) {
        found.push(path.to_vec());
        for inner in command.get_subcommands() {
            all(inner, &[path, &[inner.get_name().to_owned()]].concat(), found);
        }
    }
    let mut commands = Vec::new();
    all(&Cli::command(), &[], &mut commands);
    assert!(commands.len() > 10, "{commands:?}");
    let secrets = [
        ("SHARDS", "s0=postgres://u:secret-word@h/d"),
        ("SHARD_DIRECT", "s0=postgres://u:secret-word@h/d"),
        ("SHARD_REPLICAS", "s0=postgres://u:secret-word@h/d"),
        ("REDIS_URL", "redis://:secret-word@h"),
        ("NATS_URL", "nats://u:secret-word@h"),
        ("S3_SECRET_ACCESS_KEY", "secret-word"),
    ];
    for mut command in commands {
        command.push("--help".to_owned());
        let ended = run(&command, &secrets).await;
        assert_eq!((ended.code, &*ended.told), (Some(0), &[][..]), "{command:?}");
        assert!(ended.output.contains("Usage: fowergram"), "{command:?}: {}", ended.output);
        assert!(!ended.output.contains("secret-word"), "{command:?}: {}", ended.output);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_ends_at_once_when_it_is_told_to() {
    let world = World::new().await;
    for (command, started) in [("serve", "listening"), ("worker", "working")] {
        let mut process = Running::start(command, world.settings());
        process.logged(started).await;
        let told = Instant::now();
        process.terminate().await;
        assert!(process.ended().await.success(), "{command}");
        assert!(told.elapsed() < Duration::from_secs(5), "{command} took {:?}", told.elapsed());
    }
}
