//! Against a real S3 server, on a folder of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Instant;

use aws_sdk_s3::presigning::PresigningConfig;
use bytes::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use s3s::auth::SimpleAuth;
use s3s::host::MultiDomain;
use s3s::service::{S3Service, S3ServiceBuilder};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;
use crate::model::{Error, ServerFault};

struct Storage {
    address: SocketAddr,
    folder: PathBuf,
    _tasks: JoinSet<()>,
}

impl Storage {
    async fn start() -> Self {
        Self::demanding(None).await
    }

    /// Demands this session token; takes the hosts below `s3.test` for buckets.
    async fn demanding(token: Option<&'static str>) -> Self {
        let folder = std::env::temp_dir().join(format!("fowergram-blob-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(&folder).unwrap());
        builder.set_auth(SimpleAuth::from_single("access", "secret"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let domains = [format!("s3.test:{}", address.port()), address.to_string()];
        builder.set_host(MultiDomain::new(domains).unwrap());
        let service = builder.build();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let service = service.clone();
                let strict =
                    hyper::service::service_fn(move |request| strict(service.clone(), token, request));
                connections.spawn(async move {
                    let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = server.serve_connection(TokioIo::new(socket), strict).await;
                });
            }
        });
        Self { address, folder, _tasks: tasks }
    }

    async fn bucket() -> (Self, Blob, Clock) {
        let storage = Self::start().await;
        let clock = Clock::system();
        let blob = Blob::open(&settings(storage.address, &[]), clock.clone()).await.unwrap();
        blob.create_bucket_if_missing().await.unwrap();
        (storage, blob, clock)
    }
}

/// Demands what MinIO did before 2025 of a request that deletes many, and what S3 itself still documents;
/// minio 20845, aws-sdk-ruby 3167.
async fn strict(
    service: S3Service,
    token: Option<&str>,
    request: hyper::Request<hyper::body::Incoming>,
) -> Result<hyper::Response<s3s::Body>, s3s::HttpError> {
    let of_header = request.headers().get("x-amz-security-token").and_then(|value| value.to_str().ok());
    let of_query = request
        .uri()
        .query()
        .and_then(|query| query.split('&').find_map(|part| part.strip_prefix("X-Amz-Security-Token=")));
    if token.is_some() && of_header.or(of_query) != token {
        let refusal = "<Error><Code>InvalidToken</Code></Error>".to_owned();
        return Ok(hyper::Response::builder().status(400).body(s3s::Body::from(refusal)).unwrap());
    }
    let deletes_many = request.uri().query().is_some_and(|query| query.split('&').any(|it| it == "delete"));
    if deletes_many && !request.headers().contains_key("content-md5") {
        let refusal = "<Error><Code>MissingContentMD5</Code></Error>".to_owned();
        let answer = hyper::Response::builder().status(400).body(s3s::Body::from(refusal));
        return Ok(answer.unwrap());
    }
    hyper::service::Service::call(&service, request).await
}

impl Drop for Storage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[derive(clap::Parser)]
struct Parsed {
    #[command(flatten)]
    config: StorageConfig,
}

/// The settings for this server, some of them others.
fn settings(address: SocketAddr, changes: &[&str]) -> StorageConfig {
    let endpoint = format!("--s3-endpoint=http://{address}");
    let mut all = vec![
        &*endpoint,
        "--s3-access-key-id=access",
        "--s3-secret-access-key=secret",
        "--s3-bucket=pictures",
    ];
    let name = |setting: &str| setting.split('=').next().map(str::to_owned);
    all.retain(|setting| !changes.iter().any(|change| name(change) == name(setting)));
    let all = ["test"].into_iter().chain(all).chain(changes.iter().copied());
    <Parsed as clap::Parser>::try_parse_from(all).unwrap().config
}

async fn open(address: SocketAddr) -> Blob {
    Blob::open(&settings(address, &[]), Clock::system()).await.unwrap()
}

const BODY: &[u8] = b"the bytes of an image";
const KEY: &str = "0007/0197c0de-0000-7007-8800-000000000000/original";

fn presign(blob: &Blob) -> PresignedPut {
    blob.presign_put(
        KEY,
        "image/png",
        BODY.len() as u64,
        &Sha256::digest(BODY).into(),
        time::Duration::minutes(15),
    )
}

/// Sends the file as the answer says, but for the headers named here.
async fn send(put: &PresignedPut, body: &'static [u8], other: &[(&str, Option<&str>)]) -> u16 {
    let mut request = reqwest::Client::new().put(&put.url).body(body);
    for (name, value) in &put.headers {
        match other.iter().find(|(replaced, _)| replaced == name) {
            None => request = request.header(*name, value),
            Some((_, Some(value))) => request = request.header(*name, *value),
            Some((_, None)) => {}
        }
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_signed_upload_is_taken_and_can_be_fetched() {
    let (_storage, blob, _) = Storage::bucket().await;
    let put = presign(&blob);
    assert_eq!(send(&put, BODY, &[]).await, 200);
    let head = Head { bytes: BODY.len() as u64, content_type: Some("image/png".to_owned()) };
    assert_eq!(blob.head(KEY).await.unwrap(), Some(head));
    let fetched = reqwest::get(blob.url(KEY)).await.unwrap();
    assert_eq!(fetched.headers()["content-type"], "image/png");
    assert_eq!(fetched.bytes().await.unwrap(), BODY);
}

#[tokio::test]
async fn another_type_length_hash_or_key_is_refused() {
    let (_storage, blob, _) = Storage::bucket().await;
    let put = presign(&blob);
    let other_hash = BASE64_STANDARD.encode(Sha256::digest(b"THE bytes of an image"));
    assert_eq!(send(&put, BODY, &[("content-type", Some("text/html"))]).await, 403);
    assert_eq!(send(&put, BODY, &[("content-type", None)]).await, 403);
    assert_eq!(send(&put, &BODY[1..], &[]).await, 403);
    assert_eq!(send(&put, b"the bytes of an image and more", &[]).await, 403);
    assert_eq!(send(&put, BODY, &[("x-amz-checksum-sha256", None)]).await, 403);
    assert_eq!(
        send(&put, b"THE bytes of an image", &[("x-amz-checksum-sha256", Some(&other_hash))]).await,
        403
    );
    let elsewhere = PresignedPut { url: put.url.replace("/original", "/320.webp"), ..put.clone() };
    assert_eq!(send(&elsewhere, BODY, &[]).await, 403);
    assert_eq!(blob.head(KEY).await.unwrap(), None);
    assert_eq!(send(&put, b"THE bytes of an image", &[]).await, 400, "the hash that was signed is another");
}

#[tokio::test]
async fn an_upload_expires() {
    let (_storage, blob, clock) = Storage::bucket().await;
    clock.advance(time::Duration::minutes(-16));
    assert_eq!(send(&presign(&blob), BODY, &[]).await, 403);
    clock.advance(time::Duration::minutes(2));
    assert_eq!(send(&presign(&blob), BODY, &[]).await, 200);
}

#[tokio::test]
async fn addresses_hold_for_an_hour() {
    let (_storage, blob, clock) = Storage::bucket().await;
    let into = clock.unix_millis().rem_euclid(3_600_000);
    clock.advance(time::Duration::milliseconds(3_600_000 - into));
    let first = blob.url(KEY);
    clock.advance(time::Duration::minutes(59));
    assert_eq!(blob.url(KEY), first);
    clock.advance(time::Duration::minutes(2));
    assert_ne!(blob.url(KEY), first);
}

#[tokio::test]
async fn a_session_token_is_sent_and_signed() {
    let storage = Storage::demanding(Some("a-word")).await;
    let with = |token: &str| settings(storage.address, &[token]);
    let blob = Blob::open(&with("--s3-session-token=a-word"), Clock::system()).await.unwrap();
    blob.create_bucket_if_missing().await.unwrap();
    assert_eq!(send(&presign(&blob), BODY, &[]).await, 200);
    assert_eq!(blob.get(KEY, 100).await.unwrap().unwrap(), BODY);
    assert_eq!(reqwest::get(blob.url(KEY)).await.unwrap().status(), 200);
    let other = Blob::open(&with("--s3-session-token=another"), Clock::system()).await.unwrap();
    assert_eq!(other.ready().await, Err(ServerFault::WrongCredentials));
    assert_eq!(open(storage.address).await.ready().await, Err(ServerFault::WrongCredentials));
}

/// The name is resolved here by the test's own client: no name server knows it.
#[tokio::test]
async fn a_bucket_may_be_a_host() {
    let (storage, blob, _) = Storage::bucket().await;
    let endpoint = format!("--s3-endpoint=http://s3.test:{}", storage.address.port());
    let settings = settings(storage.address, &[&endpoint, "--s3-addressing=host"]);
    let by_host = Blob::open(&settings, Clock::system()).await.unwrap();
    let host = "pictures.s3.test";
    let client = reqwest::Client::builder().resolve(host, storage.address).build().unwrap();
    let put = presign(&by_host);
    assert!(put.url.starts_with(&format!("http://{host}:{}/0007/", storage.address.port())), "{}", put.url);
    let mut request = client.put(&put.url).body(BODY);
    for (name, value) in &put.headers {
        request = request.header(*name, value);
    }
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert_eq!(client.get(by_host.url(KEY)).send().await.unwrap().bytes().await.unwrap(), BODY);
    assert_eq!(blob.get(KEY, 100).await.unwrap().unwrap(), BODY, "it is the same bucket");
    // The process's own requests go there as well.
    let validity = PresigningConfig::expires_in(Duration::from_mins(1)).unwrap();
    let own = by_host.client.get_object().bucket("pictures").key(KEY).presigned(validity).await.unwrap();
    assert_eq!(client.get(own.uri()).send().await.unwrap().bytes().await.unwrap(), BODY);
}

#[tokio::test]
async fn a_stranger_gets_nothing() {
    let (storage, blob, _) = Storage::bucket().await;
    blob.put("0001/a/320.webp", "image/webp", Bytes::from_static(BODY)).await.unwrap();
    let signed = blob.url("0001/a/320.webp");
    let bare = signed.split('?').next().unwrap();
    assert_eq!(reqwest::get(bare).await.unwrap().status(), 403);
    let other = signed.replace("320.webp", "640.webp");
    assert_eq!(reqwest::get(other).await.unwrap().status(), 403);
    let guess = settings(storage.address, &["--s3-secret-access-key=guess"]);
    let thief = Blob::open(&guess, Clock::system()).await.unwrap();
    assert!(matches!(thief.get("0001/a/320.webp", 1_000).await, Err(Error::StorageUnavailable)));
    assert_eq!(thief.ready().await, Err(ServerFault::WrongCredentials));
}

#[tokio::test]
async fn objects_are_put_read_listed_and_deleted() {
    let (_storage, blob, _) = Storage::bucket().await;
    assert_eq!(blob.get("0001/none", 1_000).await.unwrap(), None);
    assert_eq!(blob.head("0001/none").await.unwrap(), None);
    for key in ["0001/b/320.webp", "0001/a/640.webp", "0001/a/320.webp", "0002/c/320.webp"] {
        blob.put(key, "image/webp", Bytes::from_static(BODY)).await.unwrap();
    }
    let size = BODY.len() as u64;
    assert_eq!(blob.get("0001/a/320.webp", size).await.unwrap().unwrap(), BODY);
    let short = blob.get("0001/a/320.webp", size - 1).await;
    assert!(matches!(short, Err(Error::PayloadTooLarge { limit }) if limit == size - 1));

    let keys = |objects: Vec<Object>| objects.into_iter().map(|object| object.key).collect::<Vec<_>>();
    let first = blob.list("0001/", None, 2).await.unwrap();
    assert!(first[0].bytes == size && (Clock::system().now() - first[0].modified).whole_minutes() == 0);
    assert_eq!(keys(first), ["0001/a/320.webp", "0001/a/640.webp"]);
    assert_eq!(keys(blob.list("0001/", Some("0001/a/640.webp"), 2).await.unwrap()), ["0001/b/320.webp"]);

    // More than one request takes, and most of them not there.
    let mut gone: Vec<String> = (0..1_500).map(|number| format!("0003/{number}/320.webp")).collect();
    gone.extend(["0001/a/320.webp".to_owned(), "0001/b/320.webp".to_owned()]);
    blob.delete(&gone).await.unwrap();
    assert_eq!(keys(blob.list("", None, 1_000).await.unwrap()), ["0001/a/640.webp", "0002/c/320.webp"]);
    blob.delete(&[]).await.unwrap();
}

#[tokio::test]
async fn the_bucket_is_made_once() {
    let storage = Storage::start().await;
    let blob = open(storage.address).await;
    assert_eq!(blob.ready().await, Err(ServerFault::NoBucket));
    blob.create_bucket_if_missing().await.unwrap();
    blob.create_bucket_if_missing().await.unwrap();
    blob.ready().await.unwrap();
}

#[tokio::test]
async fn a_storage_that_is_away_or_silent_is_told_soon() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let blob = open(silent.local_addr().unwrap()).await;
    let start = Instant::now();
    assert_eq!(blob.ready().await, Err(ServerFault::TooSlow));
    assert!(start.elapsed() < Duration::from_secs(3));

    let address = silent.local_addr().unwrap();
    drop(silent);
    let blob = open(address).await;
    assert!(matches!(blob.get(KEY, 1).await, Err(Error::StorageUnavailable)));
    assert!(matches!(blob.delete(&[KEY.to_owned()]).await, Err(Error::StorageUnavailable)));
    assert!(start.elapsed() < Duration::from_secs(12));
}

#[tokio::test]
async fn addresses_are_those_that_clients_reach() {
    let server = SocketAddr::from(([127, 0, 0, 1], 9000));
    let public = "--s3-public-endpoint=https://images.example.com/s3/";
    let with = async |more: &[&str]| Blob::open(&settings(server, more), Clock::system()).await.unwrap();
    let blob = with(&[public]).await;
    assert!(blob.url("0001/a").starts_with("https://images.example.com/s3/pictures/0001/a?X-Amz-"));
    assert!(presign(&blob).url.starts_with("https://images.example.com/s3/pictures/0007/"));

    let blob = with(&[public, "--cdn-url=https://cdn.example.com/"]).await;
    assert_eq!(blob.url("0001/a"), "https://cdn.example.com/0001/a");
    assert!(presign(&blob).url.starts_with("https://images.example.com/s3/"), "uploads go to the storage");
}
