//! What an operator does wrong is one line that says which setting it is, and what to do.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use clap::CommandFactory as _;
use fowergram::cli::Cli;

use crate::harness::World;
use crate::harness::binary::{Ended, Running, run, run_in, run_into};

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
    let serve = ["serve", "--port=0", "--token-key-file=key.pem", NOWHERE];
    let line = refused(&["serve", "--token-key-file=key.pem", NOWHERE], &[("PORT", "secret")]).await;
    assert!(line.starts_with("PORT is wrong: "), "{line}");
    for (name, value, why) in [
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
        ("HOST", "http://localhost", "HOST is wrong: expected an IP address or the name of a host"),
        ("CORS_ORIGINS", "a.example", "CORS_ORIGINS is wrong: \"a.example\" is no origin: expected a scheme"),
        (
            "CORS_ORIGINS",
            "https://a.example/app",
            "CORS_ORIGINS is wrong: \"https://a.example/app\" is no origin",
        ),
        ("CORS_ORIGINS", "https://a.example, https://b.example", "CORS_ORIGINS is wrong: has a blank"),
        ("CORS_ORIGINS", "*,https://a.example", "CORS_ORIGINS: * stands for all origins"),
        ("S3_ENDPOINT", "localhost:9000", "S3_ENDPOINT: not a http:// or https:// URL"),
        ("S3_PUBLIC_ENDPOINT", "ftp://h", "S3_PUBLIC_ENDPOINT: not a http:// or https:// URL"),
        ("S3_ENDPOINT", "http://u:secret-word@h", "S3_ENDPOINT: has a user or a password"),
        ("CDN_URL", "cdn.example:443", "CDN_URL: not a http:// or https:// URL"),
        ("SHARDS", "s0=postgres://u:1#secret-word@h/d", "SHARDS is wrong: the address of shard s0"),
        ("REDIS_URL", "redis://:1#secret-word@h:6379", "REDIS_URL is wrong: percent-encode"),
        ("NATS_URL", "nats://u:1/secret-word@h:4222", "NATS_URL is wrong: percent-encode"),
        ("MAX_SOCKETS", "18446744073709551615", "MAX_SOCKETS: must be at most"),
        ("MAX_CONCURRENT_REQUESTS", "0", "MAX_CONCURRENT_REQUESTS: must be at least 1"),
        ("SESSION_DAYS", " 5", "SESSION_DAYS is wrong: "),
    ] {
        let serve: Vec<&str> =
            serve.iter().copied().filter(|part| name != "SHARDS" || *part != NOWHERE).collect();
        let line = refused(&serve, &[(name, value)]).await;
        assert!(line.starts_with(why), "{name}={value}: {line}");
    }
    // Wrong settings are found before the port is taken, whatever else listens there.
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let serve = ["serve", "--token-key-file=key.pem", NOWHERE];
    let line = refused(&serve, &[("PORT", &port), ("REDIS_URL", "http://h")]).await;
    assert!(line.starts_with("REDIS_URL: "), "{line}");
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

/// The line of a command in a folder with this `.env`.
async fn with_env_file(
    content: impl AsRef<[u8]>,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(".env"), content).expect("a file");
    let arguments: Vec<String> = arguments.iter().map(|part| (*part).to_owned()).collect();
    one_line(&run_in(folder.path(), &arguments, environment).await)
}

#[tokio::test]
async fn a_bad_line_of_the_settings_file_is_named() {
    let good = "TOKEN_KEY_FILE=key.pem\r\nWORKER_PORT=0\nSHARDS=s0=postgres://u:p$HOME@127.0.0.1:1/none\n";
    let away = "TOKEN_KEY_FILE: can't read key.pem";
    let line = with_env_file(format!("\u{feff}# a comment\n{good}"), &["worker"], &[]).await;
    assert!(line.starts_with(away), "{line}");
    for (bad, why) in [
        ("a line that is none", ".env, line 4: expected NAME=value"),
        ("S3_SECRET_ACCESS_KEY='secret-word", ".env, line 4: the closing ' is missing"),
        ("WORKER_PORT=secret-word", ".env, line 4: WORKER_PORT is set in line 2 already"),
        ("MY-NAME=secret-word", ".env, line 4: what stands before = is no name"),
        ("REDIS_URL=http://secret-word", "REDIS_URL: not a redis://"),
        ("IMAGE_WORKERS=0", "IMAGE_WORKERS: must be at least 1"),
    ] {
        let line = with_env_file(format!("{good}{bad}\n"), &["worker"], &[]).await;
        assert!(line.starts_with(why), "{bad}: {line}");
    }
    let line = with_env_file(b"A=\xff\n", &["worker"], &[]).await;
    assert!(line.starts_with(".env is not UTF-8"), "{line}");

    // A variable goes before the file, a flag before both, and what is empty is none.
    let line =
        with_env_file(format!("{good}REDIS_URL=http://file"), &["worker"], &[("REDIS_URL", "redis://h")]);
    assert!(line.await.starts_with(away));
    let line = with_env_file(format!("{good}REDIS_URL=redis://file"), &["worker"], &[("REDIS_URL", "")]);
    assert!(line.await.starts_with(away));
    let line = with_env_file(format!("{good}REDIS_URL=http://file"), &["worker", "--redis-url="], &[]);
    assert!(line.await.starts_with("REDIS_URL: "));

    // Only that of the folder itself.
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join(".env"), good).expect("a file");
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).expect("a folder");
    let line = one_line(&run_in(&inner, &["worker".to_owned()], &[]).await);
    assert!(line.starts_with("SHARDS is missing"), "{line}");
}

#[tokio::test]
async fn an_empty_value_is_none() {
    use clap::Args as _;
    let mut command = fowergram::config::Config::augment_args(clap::Command::new("fowergram"));
    command.build();
    let variables: Vec<String> = command
        .get_arguments()
        .filter_map(|arg| Some(arg.get_env()?.to_str()?.to_owned()))
        .filter(|name| !["SHARDS", "TOKEN_KEY_FILE", "WORKER_PORT"].contains(&name.as_str()))
        .collect();
    assert!(variables.len() > 30, "{variables:?}");
    // Its default may be taken on this machine.
    let worker = ["worker", "--token-key-file=key.pem", "--worker-port=0", NOWHERE];
    let empty: Vec<(&str, &str)> = variables.iter().map(|name| (name.as_str(), "")).collect();
    let line = refused(&worker, &empty).await;
    assert!(line.starts_with("TOKEN_KEY_FILE: can't read key.pem"), "{line}");
    let flags: Vec<String> =
        variables.iter().map(|name| format!("--{}=", name.to_lowercase().replace('_', "-"))).collect();
    let flags: Vec<&str> = worker.into_iter().chain(flags.iter().map(String::as_str)).collect();
    let line = refused(&flags, &[]).await;
    assert!(line.starts_with("TOKEN_KEY_FILE: can't read key.pem"), "{line}");
    let line = refused(&["worker", "--token-key-file=key.pem"], &[("SHARDS", "")]).await;
    assert!(line.starts_with("SHARDS is missing"), "{line}");
}

/// What is printed goes to a program that has ended, or to a full disk.
#[tokio::test(flavor = "multi_thread")]
async fn output_that_can_not_be_written_is_no_panic() {
    let world = World::new().await;
    let shards =
        world.settings().iter().find(|setting| setting.starts_with("--shards=")).expect("shards").clone();
    let all = world.settings().to_vec();
    let commands: [(&[&str], &[String]); 6] = [
        (&["schema"], &[]),
        (&["--help"], &[]),
        (&["--version"], &[]),
        (&["migrate", "status"], std::slice::from_ref(&shards)),
        (&["shards", "list"], std::slice::from_ref(&shards)),
        (&["doctor"], &all),
    ];
    for (command, settings) in commands {
        let mut arguments: Vec<String> = command.iter().map(|part| (*part).to_owned()).collect();
        arguments.extend(settings.iter().cloned());
        let faults = |ended: &Ended| {
            let told =
                ended.told.iter().filter(|line| line.contains("panicked") || line.starts_with("fowergram: "));
            told.cloned().collect::<Vec<_>>()
        };
        let closed = run_into(closed_pipe(), &arguments).await;
        assert_eq!((closed.code, faults(&closed)), (Some(0), vec![]), "{command:?}");
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a full disk");
        let full = run_into(full.into(), &arguments).await;
        assert_eq!(full.code, Some(1), "{full:?}");
        let [line] = &*faults(&full) else { panic!("{command:?}: {full:?}") };
        assert!(line.starts_with("fowergram: the output can't be written: No space left"), "{line}");
    }
}

/// The writing end of a pipe whose reader has gone.
fn closed_pipe() -> std::process::Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
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
    assert!(line.starts_with("SHARDS: s0 does not answer, s1 does not answer; start the servers"), "{line}");

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
