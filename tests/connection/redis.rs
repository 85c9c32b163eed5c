//! A Redis with users of its own, with TLS, and of kinds that can't hold the feeds.

use std::path::Path;

use fowergram::app::Role;

use super::certificates::{Authority, Certificate, text};
use super::until_said;
use crate::harness::act::ids;
use crate::harness::binary::run;
use crate::harness::client::Client;
use crate::harness::server::Server;
use crate::harness::{World, eventually};

/// The rights that docs/OPERATIONS.md names.
const RIGHTS: &str = "+@read +@write +@scripting +@connection +@transaction +info";

async fn server(config: &str) -> Server {
    Server::start("redis-server", &format!("bind 127.0.0.1\nsave \"\"\ndir FOLDER\n{config}"), &[]).await
}

/// Follows, posts and reads a feed, which is served from Redis.
async fn feeds_work(world: &World, changes: &[&str]) {
    let (_, address) = world.api_with(changes).await;
    world.process_with(Role::Worker, changes).await;
    until_said(address, "redis", None).await;
    let (ada, ben) = (Client::new(address).sign_up("ada").await, Client::new(address).sign_up("ben").await);
    ada.follow(&ben).await;
    let post = ben.client.post("by ben").await;
    eventually("the post is in the feed that Redis holds", async || {
        let page = ada.feed_page(5, None).await;
        (ids(&page) == [post.clone()] && page["degraded"] == false).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_few_rights() {
    let world = World::new().await;
    let keys = format!("~{}:*", world.config().services.namespace);
    let server =
        server(&format!("port PORT\nuser default off\nuser fg.app on >s:e/c%r@et {keys} {RIGHTS}")).await;
    let url = |login: &str| format!("--redis-url=redis://{login}127.0.0.1:{}", server.port);
    feeds_work(&world, &[&url("fg.app:s%3Ae%2Fc%25r%40et@")]).await;
    let wrong = "refuses the user name, password, token or key";
    for login in ["fg.app:wrong@", "other:s%3Ae%2Fc%25r%40et@", ""] {
        let (_, address) = world.api_with(&[&url(login)]).await;
        until_said(address, "redis", Some(wrong)).await;
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_of_both_sides() {
    let world = World::new().await;
    let (authority, other) = (Authority::new(), Authority::new());
    let client = authority.client("client");
    let with = |server: &Certificate| {
        let [cert, key, ca] =
            [&server.cert, &server.key, &authority.file()].map(|path| text(path).to_owned());
        format!(
            "port 0\ntls-port PORT\ntls-cert-file {cert}\ntls-key-file {key}\ntls-ca-cert-file {ca}\n\
             tls-auth-clients yes\nrequirepass word\n"
        )
    };
    let running = server(&with(&authority.server("localhost"))).await;
    let url = |host: &str| format!("--redis-url=rediss://:word@{host}:{}", running.port);
    let file = |setting: &str, path: &Path| format!("--redis-{setting}-file={}", text(path));
    let [ca, cert, key] =
        [file("ca", &authority.file()), file("cert", &client.cert), file("key", &client.key)];
    feeds_work(&world, &[&url("localhost"), &ca, &cert, &key]).await;

    let old = server(&with(&authority.expired("localhost"))).await;
    let old = format!("--redis-url=rediss://:word@localhost:{}", old.port);
    let foreign = other.client("foreign");
    let [foreign_cert, foreign_key] = [file("cert", &foreign.cert), file("key", &foreign.key)];
    let other_ca = file("ca", &other.file());
    for (settings, said) in [
        (&[&url("localhost"), &ca][..], "refuses the client certificate, or asks for one"),
        (
            &[&url("localhost"), &ca, &foreign_cert, &foreign_key],
            "refuses the client certificate, or asks for one",
        ),
        (
            &[&url("localhost"), &other_ca, &cert, &key],
            "has a certificate of an authority that is not trusted",
        ),
        (&[&url("localhost"), &cert, &key], "has a certificate of an authority that is not trusted"),
        (&[&url("127.0.0.1"), &ca, &cert, &key], "has a certificate for other host names"),
        (&[&old, &ca, &cert, &key], "has a certificate that has expired"),
    ] {
        let settings: Vec<&str> = settings.iter().map(|setting| setting.as_str()).collect();
        let (_, address) = world.api_with(&settings).await;
        until_said(address, "redis", Some(said)).await;
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_and_a_sentinel_are_refused() {
    let world = World::new().await;
    let cluster = server("port PORT\ncluster-enabled yes\n").await;
    let sentinel =
        Server::start("redis-server", "bind 127.0.0.1\ndir FOLDER\nport PORT\n", &["--sentinel"]).await;
    for (url, why) in [
        (
            format!("redis://127.0.0.1:{}", cluster.port),
            "REDIS_URL: the server is a Redis Cluster, which can't hold the feeds",
        ),
        (
            format!("redis://127.0.0.1:{}", sentinel.port),
            "REDIS_URL: the server is a Redis Sentinel and not the server that it watches",
        ),
        ("redis+sentinel://127.0.0.1:26379/primary".to_owned(), "REDIS_URL: Redis Sentinel is not supported"),
    ] {
        let settings = world.settings_with(&[&format!("--redis-url={url}")]);
        let arguments: Vec<String> = ["serve".to_owned()].into_iter().chain(settings).collect();
        let ended = run(&arguments, &[]).await;
        let line = ended.told.last().cloned().unwrap_or_default();
        assert!(ended.code == Some(1) && line.contains(why), "{ended:?}");
    }
    let ca = Authority::new();
    let arguments = world.settings_with(&[&format!("--redis-ca-file={}", text(&ca.file()))]);
    let ended = run(&["serve".to_owned()].into_iter().chain(arguments).collect::<Vec<_>>(), &[]).await;
    assert!(ended.told.iter().any(|line| line.contains("REDIS_URL: must be a rediss:// URL")), "{ended:?}");
}
