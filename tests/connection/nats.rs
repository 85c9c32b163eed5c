//! Each way in which `nats-server` asks who comes.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use clap::Parser;
use fowergram::bus::Bus;
use fowergram::config::ServiceConfig;
use fowergram::model::ServerFault;
use nkeys::KeyPair;
use serde_json::{Value, json};

use super::certificates::{Authority, text};
use crate::harness::binary::run;
use crate::harness::eventually;
use crate::harness::server::Server;

#[derive(Parser)]
struct Parsed {
    #[command(flatten)]
    config: ServiceConfig,
}

async fn server(config: &str) -> Server {
    let config = format!("listen: \"127.0.0.1:PORT\"\njetstream {{ store_dir: \"FOLDER\" }}\n{config}");
    Server::start("nats-server", &config, &[]).await
}

async fn bus(settings: &[&str]) -> anyhow::Result<Bus> {
    let arguments = ["test"].iter().chain(settings);
    let config = Parsed::try_parse_from(arguments)?.config;
    config.check()?;
    Bus::connect(&config).await
}

/// Lets in, and JetStream can be used.
async fn accepted(settings: &[&str]) {
    let bus = bus(settings).await.expect("good settings");
    eventually("NATS lets in", async || bus.ready().await.ok()).await;
    bus.ensure_streams().await.expect("the streams are made");
}

async fn refused(settings: &[&str], fault: ServerFault) {
    let bus = bus(settings).await.expect("good settings");
    eventually(&format!("NATS {fault}"), async || {
        let said = bus.ready().await.expect_err("it does not let in");
        (said == fault).then_some(())
    })
    .await;
}

/// A file with this content.
fn file(content: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a file");
    std::fs::write(&path, content).expect("a file");
    let path = text(&path).to_owned();
    (folder, path)
}

#[tokio::test]
async fn user_and_password() {
    let server = server(r#"authorization { user: "fg@home", password: "s:e/c%r et" }"#).await;
    let url = |login: &str| format!("--nats-url=nats://{login}127.0.0.1:{}", server.port);
    accepted(&[&url("fg%40home:s%3Ae%2Fc%25r%20et@")]).await;
    refused(&[&url("fg%40home:wrong@")], ServerFault::WrongCredentials).await;
    refused(&[&url("")], ServerFault::WrongCredentials).await;
}

#[tokio::test]
async fn a_user_alone_is_a_token() {
    let server = server(r#"authorization { token: "t/o:ken" }"#).await;
    let url = |login: &str| format!("--nats-url=nats://{login}127.0.0.1:{}", server.port);
    accepted(&[&url("t%2Fo%3Aken@")]).await;
    refused(&[&url("wrong@")], ServerFault::WrongCredentials).await;
}

#[tokio::test]
async fn an_nkey() {
    let (pair, other) = (KeyPair::new_user(), KeyPair::new_user());
    let server = server(&format!("authorization {{ users: [ {{ nkey: {} }} ] }}", pair.public_key())).await;
    let url = format!("--nats-url=nats://127.0.0.1:{}", server.port);
    let seed = |pair: &KeyPair| file(&format!("{}\n", pair.seed().expect("a seed")));
    let ((_good, good), (_bad, bad)) = (seed(&pair), seed(&other));
    accepted(&[&url, &format!("--nats-nkey-file={good}")]).await;
    refused(&[&url, &format!("--nats-nkey-file={bad}")], ServerFault::WrongCredentials).await;
}

/// A JWT of NATS: claims about `subject`, signed by `issuer`.
fn jwt(issuer: &KeyPair, subject: &KeyPair, claims: &Value) -> String {
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let body = json!({
        "jti": "-", "iat": 1_600_000_000, "iss": issuer.public_key(), "sub": subject.public_key(),
        "name": "test", "nats": claims,
    });
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&body));
    let signature = issuer.sign(signed.as_bytes()).expect("a signature");
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn a_credentials_file() {
    let (operator, account, system, user) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account(), KeyPair::new_user());
    let free = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
        "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let account_claims = json!({"type": "account", "version": 2, "limits": free});
    let config = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n{}: {}\n{}: {}\n}}\n",
        jwt(&operator, &operator, &json!({"type": "operator", "version": 2})),
        system.public_key(),
        account.public_key(),
        jwt(&operator, &account, &account_claims),
        system.public_key(),
        jwt(&operator, &system, &json!({"type": "account", "version": 2})),
    );
    let server = server(&config).await;
    let url = format!("--nats-url=nats://127.0.0.1:{}", server.port);
    let credentials = |issuer: &KeyPair| {
        let rights = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
        file(&format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            jwt(issuer, &user, &rights),
            user.seed().expect("a seed"),
        ))
    };
    let ((_good, good), (_bad, bad)) = (credentials(&account), credentials(&KeyPair::new_account()));
    accepted(&[&url, &format!("--nats-credentials-file={good}")]).await;
    refused(&[&url, &format!("--nats-credentials-file={bad}")], ServerFault::WrongCredentials).await;
}

#[tokio::test]
async fn tls_of_both_sides() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (server_side, client, stranger) =
        (authority.server("localhost"), authority.client("client"), other.client("stranger"));
    let tls = |cert: &super::certificates::Certificate| {
        format!(
            "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}",
            cert.cert,
            cert.key,
            authority.file()
        )
    };
    let server_config = tls(&server_side);
    let running = server(&server_config).await;
    let url = |scheme: &str, host: &str| format!("--nats-url={scheme}://{host}:{}", running.port);
    let file = |setting: &str, path: &std::path::Path| format!("--nats-{setting}-file={}", text(path));
    let ca = file("ca", &authority.file());
    let [cert, key] = [file("cert", &client.cert), file("key", &client.key)];
    accepted(&[&url("tls", "localhost"), &ca, &cert, &key]).await;
    accepted(&[&url("nats", "localhost"), &ca, &cert, &key]).await;
    refused(&[&url("tls", "localhost"), &ca], ServerFault::ClientCertificate).await;
    let [foreign_cert, foreign_key] = [file("cert", &stranger.cert), file("key", &stranger.key)];
    let foreign = [&*url("tls", "localhost"), &ca, &foreign_cert, &foreign_key];
    refused(&foreign, ServerFault::ClientCertificate).await;
    refused(&[&url("tls", "localhost"), &cert, &key], ServerFault::UntrustedCertificate).await;
    let other_ca = file("ca", &other.file());
    refused(&[&url("tls", "localhost"), &other_ca, &cert, &key], ServerFault::UntrustedCertificate).await;
    refused(&[&url("tls", "127.0.0.1"), &ca, &cert, &key], ServerFault::OtherHostsCertificate).await;

    let old = server(&tls(&authority.expired("localhost"))).await;
    let old = format!("--nats-url=tls://localhost:{}", old.port);
    refused(&[&old, &ca, &cert, &key], ServerFault::ExpiredCertificate).await;

    // What is meant for TLS does not go out in the clear.
    let plain = server("").await;
    let plain = format!("--nats-url=nats://localhost:{}", plain.port);
    refused(&[&plain, &ca], ServerFault::NoTls).await;
}

#[tokio::test]
async fn the_servers_of_a_cluster_stand_in_for_each_other() {
    let first = server("authorization { token: word }").await;
    let second = server("authorization { token: word }").await;
    let url = format!("--nats-url=nats://word@127.0.0.1:{},127.0.0.1:{}", first.port, second.port);
    let bus = bus(&[&url]).await.expect("good settings");
    eventually("one lets in", async || bus.ready().await.ok()).await;
    drop(first);
    eventually("the other lets in", async || bus.ready().await.ok()).await;
    let before = *bus.reconnects().borrow();
    drop(second);
    eventually("none is there", async || bus.ready().await.err()).await;
    assert!(before >= 1);
}

#[tokio::test]
async fn settings_that_contradict_are_refused() {
    let (_seed, seed) = file(&KeyPair::new_user().seed().expect("a seed"));
    let (_other, other) = file("no seed");
    let authority = Authority::new();
    let client = authority.client("client");
    let [cert, key] = [text(&client.cert), text(&client.key)];
    let another = authority.client("another");
    let (other_key, missing) = (text(&another.key), "/nowhere/file.pem");
    for (settings, why) in [
        (
            &["--nats-url=nats://a:1@h,nats://b:2@h2".to_owned()][..],
            "NATS_URL: the servers have different credentials",
        ),
        (
            &["--nats-url=nats://word@h".to_owned(), format!("--nats-nkey-file={seed}")],
            "NATS_URL, NATS_CREDENTIALS_FILE and NATS_NKEY_FILE: give credentials in one of them",
        ),
        (
            &[format!("--nats-credentials-file={seed}"), format!("--nats-nkey-file={seed}")],
            "NATS_URL, NATS_CREDENTIALS_FILE and NATS_NKEY_FILE: give credentials in one of them",
        ),
        (&[format!("--nats-nkey-file={other}")], "NATS_NKEY_FILE: must hold the seed of an nkey alone"),
        (&[format!("--nats-credentials-file={other}")], "NATS_CREDENTIALS_FILE: must hold a JWT and its key"),
        (
            &[format!("--nats-credentials-file={missing}")],
            "NATS_CREDENTIALS_FILE: can't read /nowhere/file.pem",
        ),
        (&[format!("--nats-ca-file={missing}")], "NATS_CA_FILE: can't read /nowhere/file.pem"),
        (&[format!("--nats-ca-file={other}")], "NATS_CA_FILE: there is no PEM certificate in"),
        (&[format!("--nats-cert-file={cert}")], "NATS_CERT_FILE is given without NATS_KEY_FILE"),
        (
            &[format!("--nats-cert-file={cert}"), format!("--nats-key-file={cert}")],
            "NATS_KEY_FILE: there is no PEM private key in",
        ),
        (
            &[format!("--nats-cert-file={key}"), format!("--nats-key-file={key}")],
            "NATS_CERT_FILE: there is no PEM certificate in",
        ),
        (
            &[format!("--nats-cert-file={cert}"), format!("--nats-key-file={other_key}")],
            "NATS_KEY_FILE: the key in",
        ),
        (&["--nats-url=ws://h".to_owned()], "NATS_URL: not a nats:// or tls:// URL"),
    ] {
        let arguments: Vec<String> = ["events".to_owned()]
            .into_iter()
            .chain(settings.iter().cloned())
            .chain(["dead".to_owned()])
            .collect();
        let ended = run(&arguments, &[]).await;
        let line = ended.told.last().cloned().unwrap_or_default();
        assert!(ended.code == Some(1) && line.contains(why), "{why}: {ended:?}");
    }
}
