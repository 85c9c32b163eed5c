//! Images: what may come in, what is shown of it, and what is left of the rest.

use fowergram::app::{App, Role};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::Duration;

use crate::harness::binary::Running;
use crate::harness::client::{Client, Person, code, picture, text};
use crate::harness::files::{File, bad, gif};
use crate::harness::{SHARDS, World, eventually};

mod strict;
mod types;

const CREATE_UPLOAD: &str = "mutation ($input: UploadInput!) { createUpload(input: $input) {
    media { id state url } method url headers { name value } expiresAt } }";
const FINISH_UPLOAD: &str = "mutation ($id: ID!) { finishUpload(mediaId: $id) { media { id state url } } }";
const CREATE_POST: &str = "mutation ($input: CreatePostInput!) { createPost(input: $input) { post { id } } }";

/// A place to put a file to.
struct Place {
    media: String,
    url: String,
    headers: Vec<(String, String)>,
}

fn announcement(content_type: &str, file: &[u8]) -> Value {
    let sha256 = Sha256::digest(file).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    json!({ "kind": "IMAGE", "contentType": content_type, "bytes": file.len(), "sha256": sha256 })
}

async fn announce(client: &Client, content_type: &str, file: &[u8]) -> Place {
    let data = client.data(CREATE_UPLOAD, json!({ "input": announcement(content_type, file) })).await;
    let upload = &data["createUpload"];
    assert_eq!((&upload["method"], &upload["media"]["url"]), (&json!("PUT"), &Value::Null));
    let headers = upload["headers"].as_array().expect("headers");
    Place {
        media: text(&upload["media"]["id"]),
        url: text(&upload["url"]),
        headers: headers.iter().map(|header| (text(&header["name"]), text(&header["value"]))).collect(),
    }
}

/// Whether the storage took the file.
async fn put(client: &Client, place: &Place, file: &[u8]) -> bool {
    let mut request = client.http.put(&place.url).body(file.to_vec());
    for (name, value) in &place.headers {
        request = request.header(name, value);
    }
    request.send().await.expect("an answer").status().is_success()
}

/// How an image ends: READY or FAILED.
async fn worked_on(client: &Client, media: &str) -> Value {
    let query = "query ($id: ID!) { node(id: $id) { ... on Media {
        state url small: url(width: 320) alt blurhash width height } } }";
    eventually("the image is worked on", async || {
        let mut data = client.data(query, json!({ "id": media })).await;
        let state = &data["node"]["state"];
        (state == "READY" || state == "FAILED").then(|| data["node"].take())
    })
    .await
}

async fn post_code(client: &Client, media: &str) -> String {
    let input = json!({ "idempotencyKey": uuid::Uuid::new_v4().to_string(), "mediaIds": [media] });
    client.code(CREATE_POST, json!({ "input": input })).await
}

/// Nothing of it is to be seen, and nothing can be made of it.
async fn is_refused(client: &Client, media: &str, what: &str) {
    let seen = worked_on(client, media).await;
    assert_eq!(seen["state"], "FAILED", "{what}");
    for field in ["url", "small", "blurhash", "width", "height"] {
        assert!(seen[field].is_null(), "{what}: {seen}");
    }
    assert_eq!(client.code(FINISH_UPLOAD, json!({ "id": media })).await, "MEDIA_REJECTED", "{what}");
    assert_eq!(post_code(client, media).await, "MEDIA_REJECTED", "{what}");
}

async fn keys(app: &App) -> Vec<String> {
    let objects = app.domain().blob.list("", None, 1_000).await.expect("the storage answers");
    objects.into_iter().map(|object| object.key).collect()
}

/// A day later the collector comes: neither rows nor objects are left.
async fn is_collected(world: &World, app: &App) {
    world.settle().await;
    world.clock.advance(Duration::days(1) + Duration::seconds(1));
    for shard in 0..SHARDS {
        app.domain().collect_media(shard).await.expect("collects");
    }
    for shard in 0..SHARDS {
        assert_eq!(world.rows(shard, "select id, state, failure from media").await, Vec::<Value>::new());
    }
    assert_eq!(keys(app).await, Vec::<String>::new());
}

/// An API process, a worker, and somebody.
async fn start(world: &World) -> (App, Person) {
    let (app, address) = world.api().await;
    world.process(Role::Worker).await;
    let person = Client::new(address).sign_up("painter").await;
    (app, person)
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_files_are_refused_and_leave_nothing() {
    let world = World::new().await;
    let (app, person) = start(&world).await;
    let client = &person.client;
    let mut refused = Vec::new();
    for File { name, content_type, bytes } in bad() {
        let media = client.upload_as(content_type, bytes.clone(), None).await;
        refused.push((format!("{name}, sent to the API"), media));
        let place = announce(client, content_type, &bytes).await;
        assert!(put(client, &place, &bytes).await, "{name}: the storage does not know files");
        client.data(FINISH_UPLOAD, json!({ "id": place.media })).await;
        refused.push((format!("{name}, put into the storage"), place.media));
    }
    for (what, media) in &refused {
        is_refused(client, media, what).await;
    }
    assert_eq!(keys(&app).await, Vec::<String>::new(), "a refused file is deleted at once");
    is_collected(&world, &app).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_announcement_is_refused() {
    let world = World::new().await;
    let (_, person) = start(&world).await;
    let client = &person.client;
    let file = picture(64, 48);
    let with = |name: &str, value: Value| {
        let mut input = announcement("image/jpeg", &file);
        input[name] = value;
        json!({ "input": input })
    };
    for (variables, code) in [
        (json!({ "input": announcement("image/gif", &gif(10_000)) }), "MEDIA_REJECTED"),
        (with("contentType", json!("image/svg+xml")), "MEDIA_REJECTED"),
        (with("contentType", json!("text/html")), "MEDIA_REJECTED"),
        (with("bytes", json!(12 * 1024 * 1024 + 1)), "MEDIA_REJECTED"),
        (with("bytes", json!(0)), "BAD_USER_INPUT"),
        (with("bytes", json!(-1)), "BAD_USER_INPUT"),
        (with("sha256", json!("00")), "BAD_USER_INPUT"),
        (with("sha256", json!("z".repeat(64))), "BAD_USER_INPUT"),
        (with("alt", json!("a".repeat(501))), "BAD_USER_INPUT"),
    ] {
        assert_eq!(client.code(CREATE_UPLOAD, variables.clone()).await, code, "{variables}");
    }
    let stranger = Client::new(client.address);
    let variables = json!({ "input": announcement("image/jpeg", &file) });
    assert_eq!(stranger.code(CREATE_UPLOAD, variables).await, "UNAUTHENTICATED");
    for shard in 0..SHARDS {
        assert!(world.rows(shard, "select id from media").await.is_empty());
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_announced_file_can_be_put() {
    let world = World::new().await;
    let (app, person) = start(&world).await;
    let client = &person.client;
    let file = picture(64, 48);
    let mut other = file.clone();
    *other.last_mut().expect("bytes") ^= 1;

    // Refused by the signature: another type, length, hash, key, or none of the headers.
    let honest = announce(client, "image/jpeg", &file).await;
    let changed = |name: &str, value: &str| Place {
        headers: honest
            .headers
            .iter()
            .map(|(known, old)| (known.clone(), if known == name { value } else { old }.to_owned()))
            .collect(),
        ..Place { media: honest.media.clone(), url: honest.url.clone(), headers: Vec::new() }
    };
    assert!(!put(client, &changed("content-type", "text/html"), &file).await);
    let hash = announce(client, "image/jpeg", &other).await.headers[1].1.clone();
    assert!(!put(client, &changed("x-amz-checksum-sha256", &hash), &other).await);
    assert!(!put(client, &honest, &[&file[..], b"more"].concat()).await);
    assert!(!put(client, &honest, &file[1..]).await);
    let elsewhere = Place { url: honest.url.replace("/original?", "/320.webp?"), ..changed("", "") };
    assert_ne!(elsewhere.url, honest.url);
    assert!(!put(client, &elsewhere, &file).await);
    assert_eq!(keys(&app).await, Vec::<String>::new());
    assert_eq!(client.code(FINISH_UPLOAD, json!({ "id": honest.media })).await, "MEDIA_NOT_READY");
    assert_eq!(post_code(client, &honest.media).await, "MEDIA_NOT_READY");

    // Of the right length, but other bytes: the storage says no, or else the worker does.
    let forged = announce(client, "image/jpeg", &file).await;
    let taken = put(client, &forged, &other).await;
    let finished = client.ask(FINISH_UPLOAD, json!({ "id": forged.media })).await;
    if finished["errors"].is_null() {
        is_refused(client, &forged.media, "another hash").await;
    } else {
        assert!(!taken);
        assert_eq!(code(&finished).as_deref(), Some("MEDIA_NOT_READY"));
    }

    // After all that the honest file is taken.
    assert!(put(client, &honest, &file).await);
    client.data(FINISH_UPLOAD, json!({ "id": honest.media })).await;
    assert_eq!(worked_on(client, &honest.media).await["state"], "READY");
    is_collected(&world, &app).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_shown_in_sizes_with_its_description() {
    let world = World::new().await;
    let (app, person) = start(&world).await;
    let client = &person.client;
    let original = crate::story::picture_with_gps();
    let media = client.upload_as("image/jpeg", original, Some("a pattern")).await;
    let shown = worked_on(client, &media).await;
    assert_eq!(shown["state"], "READY");
    assert_eq!((&shown["width"], &shown["height"]), (&json!(1200), &json!(800)));
    assert_eq!(shown["alt"], "a pattern");
    assert!(text(&shown["blurhash"]).len() > 6);
    let mut sizes = Vec::new();
    for field in ["small", "url"] {
        let answer = client.http.get(text(&shown[field])).send().await.expect("an answer");
        assert_eq!(answer.headers()["content-type"], "image/webp");
        let bytes = answer.bytes().await.expect("bytes");
        assert!(!bytes.windows(10).any(|window| window == b"GPS-SECRET"));
        let image = image::load_from_memory_with_format(&bytes, image::ImageFormat::WebP).expect("WebP");
        sizes.push(((image.width(), image.height()), bytes.len()));
    }
    assert_eq!((sizes[0].0, sizes[1].0), ((320, 213), (1200, 800)));
    assert!(sizes[0].1 < sizes[1].1, "{sizes:?}");
    let query = "query ($id: ID!) { node(id: $id) { ... on Media { url(width: 0) } } }";
    assert_eq!(client.code(query, json!({ "id": media })).await, "BAD_USER_INPUT");

    // The original, and what it tells of its maker, is gone; the sizes are there.
    let kept = keys(&app).await;
    assert_eq!(kept.len(), 4, "320, 640, 1080 and 1200: {kept:?}");
    assert!(kept.iter().all(|key| !key.ends_with("/original")), "{kept:?}");
    let key = kept[0].rsplit_once('/').expect("a folder").0;
    assert!(app.domain().blob.head(&format!("{key}/original")).await.expect("answers").is_none());
    is_collected(&world, &app).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_used_once_and_by_its_owner() {
    let world = World::new().await;
    let (app, person) = start(&world).await;
    let (owner, thief) = (&person.client, &Client::new(person.client.address).sign_up("thief").await.client);
    let media = owner.ready_media(picture(64, 48)).await;
    assert_eq!(post_code(thief, &media).await, "NOT_FOUND");
    assert_eq!(thief.code(FINISH_UPLOAD, json!({ "id": media })).await, "NOT_FOUND");
    let query = "query ($id: ID!) { node(id: $id) { id } }";
    assert!(thief.data(query, json!({ "id": media })).await["node"].is_null());

    let make = |key: &str| json!({ "input": { "idempotencyKey": key, "mediaIds": [media] } });
    let twice = json!({ "input": { "idempotencyKey": "0", "mediaIds": [media, media] } });
    assert_eq!(owner.code(CREATE_POST, twice).await, "BAD_USER_INPUT");
    let data = owner.data(CREATE_POST, make("1")).await;
    let post = text(&data["createPost"]["post"]["id"]);
    let again = owner.ask(CREATE_POST, make("2")).await;
    assert_eq!(code(&again).as_deref(), Some("BAD_USER_INPUT"), "{again}");
    assert_eq!(again["errors"][0]["extensions"]["field"], "input.mediaIds");
    assert_eq!(post_code(thief, &media).await, "NOT_FOUND");

    // What a post shows is not collected; what a deleted one showed is.
    world.settle().await;
    world.clock.advance(Duration::days(2));
    for shard in 0..SHARDS {
        app.domain().collect_media(shard).await.expect("collects");
    }
    assert_eq!(keys(&app).await.len(), 1);
    let login = json!({ "input": { "login": "painter", "password": crate::harness::client::PASSWORD } });
    let query = "mutation ($input: SignInInput!) { signIn(input: $input) { accessToken } }";
    let data = Client::new(owner.address).data(query, login).await;
    let owner = Client { token: Some(text(&data["signIn"]["accessToken"])), ..owner.clone() };
    let delete = "mutation ($id: ID!) { deletePost(id: $id) { deletedId } }";
    owner.data(delete, json!({ "id": post })).await;
    is_collected(&world, &app).await;
    world.close().await;
}

/// As `docs/OPERATIONS.md` states it: what a worker takes without images, and 12 bytes for each pixel of
/// those that it works on at once.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_workers_memory_is_bounded() {
    const BASE: u64 = 150 * 1024 * 1024;
    let world = World::new().await;
    let (app, address) = world.api().await;
    let client = &Client::new(address).sign_up("painter").await.client;
    let worker = Running::start("worker", world.settings());
    worker.logged("working").await;
    let mut refused = Vec::new();
    for File { name, content_type, bytes } in bad() {
        refused.push((name, client.upload_as(content_type, bytes, None).await));
    }
    for (name, media) in &refused {
        is_refused(client, media, name).await;
    }
    let after_bombs = worker.high_water().expect("it runs");
    println!("the worker's memory after the bombs: {} MiB", after_bombs >> 20);
    assert!(after_bombs < BASE, "{after_bombs}");

    let large = image::RgbImage::from_pixel(6_000, 4_000, image::Rgb([90, 120, 200]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    large.write_to(&mut bytes, image::ImageFormat::Jpeg).expect("encodes");
    let uploads = [client.upload(bytes.get_ref().clone()).await, client.upload(bytes.into_inner()).await];
    for media in &uploads {
        assert_eq!(worked_on(client, media).await["state"], "READY");
    }
    let after_photos = worker.high_water().expect("it runs");
    println!("and after two photos of 24 megapixels: {} MiB", after_photos >> 20);
    let limits = &app.config().media;
    let bound = BASE + 12 * limits.max_image_pixels * limits.image_workers as u64;
    assert!(after_photos < bound, "{after_photos} of {bound}");
    assert!(after_photos > 24_000_000 * 3, "it was not that worker");
    world.close().await;
}
