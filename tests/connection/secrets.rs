//! No password, token or key of the settings is in what a process logs or answers.

use std::time::Duration;

use super::until_said;
use crate::harness::binary::{Running, run_within};
use crate::harness::{World, eventually};

const WORD: &str = "hidden-word";

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_are_nowhere_to_be_read() {
    let world = World::new().await;
    let wrong = |url: &str| {
        let mut url = url::Url::parse(url).expect("a URL");
        url.set_password(Some(WORD)).expect("a password");
        if url.scheme() == "nats" {
            url.set_username("somebody").expect("a user");
        }
        String::from(url)
    };
    let config = world.config();
    let [good, refused] = [world.shard_url(0), wrong(&world.shard_url(1))];
    let changes = [
        format!("--shards=s0={good},s1={refused},s2={refused},s3={refused}"),
        format!("--shard-replicas=s0={refused}"),
        format!("--redis-url={}", wrong(config.services.redis.redis_url.expose().as_str())),
        format!("--nats-url={}", wrong(config.services.nats.nats_url[0].expose().as_str())),
        format!("--s3-secret-access-key={WORD}"),
        format!("--s3-session-token={WORD}"),
        "--log=trace".to_owned(),
    ];
    let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
    let settings = world.settings_with(&changes);
    assert!(!format!("{:?}", world.config_with(&changes)).contains(WORD), "the settings show a password");

    let (mut process, address) = Running::serve(&settings).await;
    until_said(address, "shard s1", Some("refuses the user name, password, token or key")).await;
    let (_, ready) = crate::harness::client::Client::new(address).ready().await;
    assert!(!ready.to_string().contains(WORD), "{ready}");
    let mut worker = Running::start("worker", &settings);
    eventually("the worker has tried them all", async || (worker.log().len() > 50).then_some(())).await;
    for running in [&mut process, &mut worker] {
        running.kill().await;
        let log = running.text();
        assert!(!log.contains(WORD), "{}", log.lines().find(|line| line.contains(WORD)).unwrap_or_default());
    }

    let shards = changes[0];
    let services = |command: &[&str]| -> Vec<String> {
        command.iter().map(|part| (*part).to_owned()).chain(settings.clone()).collect()
    };
    for arguments in [
        services(&["doctor"]),
        vec!["migrate".to_owned(), "status".to_owned(), shards.to_owned()],
        vec!["shards".to_owned(), "list".to_owned(), shards.to_owned(), "--log=trace".to_owned()],
        vec!["events".to_owned(), changes[3].to_owned(), "--log=trace".to_owned(), "dead".to_owned()],
    ] {
        let ended = run_within(Duration::from_mins(2), &arguments, &[]).await;
        let all = format!("{}{}", ended.output, ended.told.join("\n"));
        assert!(!all.contains(WORD), "{}", all.lines().find(|line| line.contains(WORD)).unwrap_or_default());
    }
}
