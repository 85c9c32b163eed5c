//! Storages that want more of a request than others.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use fowergram::app::Role;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{is_collected, is_refused, keys, worked_on};
use crate::harness::client::{Client, picture};
use crate::harness::{World, serve};

/// Stands before a storage and refuses to delete many objects at once without a `Content-MD5`, as MinIO
/// did before 2025; minio 20845, aws-sdk-ruby 3167, arrow-rs-object-store 90.
struct Strict {
    address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Strict {
    async fn before(storage: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(forward).with_state((storage, reqwest::Client::new()));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Self { address, _tasks: tasks }
    }
}

async fn forward(
    State((storage, client)): State<(String, reqwest::Client)>,
    method: Method,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let uri = request.uri().clone();
    let deletes_many = uri.query().is_some_and(|query| query.split('&').any(|it| it.starts_with("delete")));
    if method == Method::POST && deletes_many && !headers.contains_key("content-md5") {
        let refusal = "<Error><Code>MissingContentMD5</Code></Error>";
        return (StatusCode::BAD_REQUEST, refusal).into_response();
    }
    let body: Bytes = axum::body::to_bytes(request.into_body(), 64 << 20).await.expect("a body");
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    // With its own host, which is signed.
    let sent = client.request(method, format!("{}{path}", storage.trim_end_matches('/')));
    let answer = sent.headers(headers).body(body).send().await.expect("the storage answers");
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.bytes().await.expect("a body"))).expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn originals_are_deleted_also_where_a_batch_must_carry_its_md5() {
    let world = World::new().await;
    let strict = Strict::before(world.servers().storage().endpoint()).await;
    let endpoint = format!("--s3-endpoint=http://{}", strict.address);
    let app = world.process_with(Role::Api, &[&endpoint]).await;
    let client = Client::new(serve(&app).await).sign_up("painter").await.client;
    world.process_with(Role::Worker, &[&endpoint]).await;

    let taken = client.upload(picture(700, 500)).await;
    assert_eq!(worked_on(&client, &taken).await["state"], "READY");
    let refused = client.upload(b"\xff\xd8\xff no picture".to_vec()).await;
    is_refused(&client, &refused, "no picture").await;
    world.settle().await;
    let kept = crate::harness::eventually("the originals are gone", async || {
        let kept = keys(&app).await;
        (!kept.iter().any(|key| key.ends_with("/original"))).then_some(kept)
    })
    .await;
    assert_eq!(kept.len(), 3, "320, 640 and 700: {kept:?}");
    is_collected(&world, &app).await;
    world.close().await;
}
