//! Storage behind TLS, and keys that are found elsewhere than in the settings.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::routing::get;
use axum::{Json, Router};
use fowergram::app::Role;
use fowergram::config::{Config, StorageConfig};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::ExposeSecret as _;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::certificates::{Authority, Certificate, text};
use super::until_said;
use crate::harness::binary::{Running, run_in};
use crate::harness::client::{Client, text as text_of};
use crate::harness::{World, eventually};

/// Takes TLS off before a server that does not know it, until it is dropped.
struct Terminator {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Terminator {
    async fn start(certificate: &Certificate, behind: SocketAddr) -> Self {
        let chain = CertificateDer::pem_file_iter(&certificate.cert).expect("a file");
        let chain: Vec<_> = chain.collect::<Result<_, _>>().expect("certificates");
        let key = PrivateKeyDer::from_pem_file(&certificate.key).expect("a key");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("a certificate")));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    let Ok(mut inside) = acceptor.accept(socket).await else { return };
                    let Ok(mut outside) = TcpStream::connect(behind).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
                });
            }
        });
        Self { address, _tasks: tasks }
    }

    fn endpoint(&self, host: &str) -> String {
        format!("--s3-endpoint=https://{host}:{}", self.address.port())
    }
}

fn storage(config: &Config) -> SocketAddr {
    let endpoint = &config.services.storage.s3_endpoint;
    endpoint.socket_addrs(|| None).expect("an address")[0]
}

/// The access key and the secret of the settings.
fn keys(config: &StorageConfig) -> (String, String) {
    let secret = config.s3_secret_access_key.as_ref().expect("a secret").expose_secret();
    (config.s3_access_key_id.clone().expect("a key"), secret.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_an_authority_of_ones_own() {
    let world = World::new().await;
    let (authority, other) = (Authority::new(), Authority::new());
    let behind = storage(&world.config());
    let good = Terminator::start(&authority.server("localhost"), behind).await;
    let ca = format!("--s3-ca-file={}", text(&authority.file()));
    let (app, address) = world.api_with(&[&good.endpoint("localhost"), &ca]).await;
    until_said(address, "storage", None).await;
    // There and back, through the client of the process.
    let blob = &app.domain().blob;
    blob.put("0001/tls", "image/jpeg", "bytes".into()).await.expect("it is put");
    assert_eq!(blob.get("0001/tls", 5).await.expect("it is read").as_deref(), Some(&b"bytes"[..]));

    let old = Terminator::start(&authority.expired("localhost"), behind).await;
    let other_ca = format!("--s3-ca-file={}", text(&other.file()));
    for (settings, said) in [
        ([&*good.endpoint("localhost"), &*other_ca], "has a certificate of an authority that is not trusted"),
        ([&*good.endpoint("127.0.0.1"), &*ca], "has a certificate for other host names"),
        ([&*old.endpoint("localhost"), &*ca], "has a certificate that has expired"),
    ] {
        let (_, address) = world.api_with(&settings).await;
        until_said(address, "storage", Some(said)).await;
    }
    world.process(Role::Worker).await;
    world.close().await;
}

/// What a container's or machine's role is asked: keys that end in this many seconds, with a token that tells how
/// often they were asked for.
async fn keys_endpoint(
    access: String,
    secret: String,
    seconds: i64,
) -> (SocketAddr, Arc<AtomicU32>, JoinSet<()>) {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let answer = move || {
        let number = count.fetch_add(1, Ordering::Relaxed);
        #[expect(clippy::disallowed_methods, reason = "the process under test reads the real time")]
        let end = OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
        let keys = json!({
            "AccessKeyId": access, "SecretAccessKey": secret, "Token": format!("token-{number}"),
            "Expiration": end.format(&Rfc3339).expect("a time"),
        });
        async move { Json(keys) }
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let mut tasks = JoinSet::new();
    let router = Router::new().route("/keys", get(answer));
    tasks.spawn(async move { axum::serve(listener, router).await.expect("serves") });
    (address, asked, tasks)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_role_are_used_and_renewed() {
    let world = World::new().await;
    let (access, secret) = keys(&world.config().services.storage);
    // So close to their end that others are fetched at once.
    let (address, asked, _tasks) = keys_endpoint(access, secret, 60).await;
    let settings = world.settings_with(&["--s3-access-key-id=", "--s3-secret-access-key="]);
    let role = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{address}/keys"))];
    let (mut process, address) = Running::serve_in(&settings, &role).await;
    until_said(address, "storage", None).await;
    world.process(Role::Worker).await;
    let ada = Client::new(address).sign_up("ada").await;
    let image = ada.media().await;
    let url = async || {
        let query = "query ($id: ID!) { node(id: $id) { ... on Media { url } } }";
        text_of(&ada.client.data(query, json!({ "id": image })).await["node"]["url"])
    };
    let first = url().await;
    assert!(first.contains("X-Amz-Security-Token=token-"), "{first}");
    assert_eq!(reqwest::get(&first).await.expect("an answer").status(), 200);
    let before = asked.load(Ordering::Relaxed);
    eventually("addresses carry newer keys", async || {
        let token = |url: &str| url.split('&').find(|part| part.contains("Token")).map(str::to_owned);
        (token(&url().await) != token(&first)).then_some(())
    })
    .await;
    assert!(asked.load(Ordering::Relaxed) > before);
    process.kill().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_the_environment_and_none_at_all() {
    let world = World::new().await;
    let (access, secret) = keys(&world.config().services.storage);
    let settings = world.settings_with(&["--s3-access-key-id=", "--s3-secret-access-key="]);
    let keys = [
        ("AWS_ACCESS_KEY_ID", access),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_SESSION_TOKEN", "word".to_owned()),
    ];
    let (mut process, address) = Running::serve_in(&settings, &keys).await;
    until_said(address, "storage", None).await;
    process.kill().await;

    let folder = tempfile::tempdir().expect("a folder");
    let none: Vec<String> = ["serve".to_owned()].into_iter().chain(settings).collect();
    let ended = run_in(folder.path(), &none, &[("AWS_EC2_METADATA_DISABLED", "true")]).await;
    let line = ended.told.last().cloned().unwrap_or_default();
    assert!(ended.code == Some(1) && line.contains("S3_ACCESS_KEY_ID is not set"), "{ended:?}");

    for (change, why) in [
        ("--s3-access-key-id=", "S3_ACCESS_KEY_ID is missing beside S3_SECRET_ACCESS_KEY"),
        ("--s3-secret-access-key=", "S3_SECRET_ACCESS_KEY is missing beside S3_ACCESS_KEY_ID"),
        ("--s3-addressing=host", "S3_ENDPOINT: S3_ADDRESSING=host needs a host's name and not an IP address"),
        ("--s3-ca-file=/nowhere/ca.pem", "S3_ENDPOINT: must be a https:// URL where S3_CA_FILE is set"),
    ] {
        let arguments: Vec<String> =
            ["serve".to_owned()].into_iter().chain(world.settings_with(&[change])).collect();
        let ended = run_in(folder.path(), &arguments, &[]).await;
        let line = ended.told.last().cloned().unwrap_or_default();
        assert!(ended.code == Some(1) && line.contains(why), "{why}: {ended:?}");
    }
}
