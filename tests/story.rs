//! The whole story, as a frontend lives it.

use fowergram::live::{Topic, cursor};
use fowergram::model::id::ConversationId;
use fowergram::model::stream::Position;
use serde_json::{Value, json};

use crate::harness::client::{Client, Person, Socket, text};
use crate::harness::{World, eventually};

/// A JPEG that says where it was taken: its EXIF block has a GPS directory.
pub fn picture_with_gps() -> Vec<u8> {
    let jpeg = crate::harness::client::picture(1200, 800);
    // TIFF, big-endian; one entry in the first directory: GPS info (0x8825) at offset 26; there, one
    // entry: latitude reference (1), "N".
    let mut tiff = b"MM\0\x2a\0\0\0\x08\0\x01\x88\x25\0\x04\0\0\0\x01\0\0\0\x1a\0\0\0\0".to_vec();
    tiff.extend(b"\0\x01\0\x01\0\x02\0\0\0\x02N\0\0\0\0\0\0\0GPS-SECRET");
    let mut segment = b"Exif\0\0".to_vec();
    segment.extend(tiff);
    let length = u16::try_from(segment.len() + 2).expect("short");
    let mut with_exif = jpeg[..2].to_vec();
    with_exif.extend([0xff, 0xe1]);
    with_exif.extend(length.to_be_bytes());
    with_exif.extend(segment);
    with_exif.extend(&jpeg[2..]);
    with_exif
}

/// Uploads by a presigned PUT, as a browser does.
async fn upload(client: &Client, file: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    use std::fmt::Write as _;
    let mut sha256 = String::new();
    for byte in Sha256::digest(file) {
        write!(sha256, "{byte:02x}").expect("a string grows");
    }
    let input = json!({ "kind": "IMAGE", "contentType": "image/jpeg", "bytes": file.len(), "sha256": sha256, "alt": "a pattern" });
    let data = client
        .data(
            "mutation ($input: UploadInput!) { createUpload(input: $input) {
                media { id state } method url headers { name value } } }",
            json!({ "input": input }),
        )
        .await;
    let upload = &data["createUpload"];
    assert_eq!(upload["media"]["state"], "AWAITING_UPLOAD");
    let mut put = client.http.put(text(&upload["url"])).body(file.to_vec());
    for header in upload["headers"].as_array().expect("headers") {
        put = put.header(text(&header["name"]), text(&header["value"]));
    }
    assert!(put.send().await.expect("an answer").status().is_success());
    let media = text(&upload["media"]["id"]);
    client
        .data("mutation ($id: ID!) { finishUpload(mediaId: $id) { media { id } } }", json!({ "id": media }))
        .await;
    client.until_ready(&media).await;
    media
}

async fn follow(who: &Person, whom: &Person) {
    let data = who
        .client
        .data(
            "mutation ($id: ID!) { followUser(id: $id) { user { followerCount relationship { follow } } } }",
            json!({ "id": whom.id }),
        )
        .await;
    assert_eq!(data["followUser"]["user"]["relationship"]["follow"], "FOLLOWING");
}

async fn feed(who: &Person) -> Vec<Value> {
    let query = "{ viewer { feed(first: 10) { degraded nodes { id caption author { username }
        media { url(width: 640) width height blurhash alt } } } } }";
    let data = who.client.data(query, json!({})).await;
    assert_eq!(data["viewer"]["feed"]["degraded"], false);
    data["viewer"]["feed"]["nodes"].as_array().expect("nodes").clone()
}

const NOTIFICATION: &str = "subscription ($after: Cursor) { newNotification(after: $after) { cursor replayed
    ... on NotificationEvent { unreadCount notification { kind actors { username } target { __typename } } } } }";
const MESSAGE: &str =
    "subscription ($id: ID!, $after: Cursor) { messageAdded(conversationId: $id, after: $after) {
    cursor replayed ... on MessageEvent { change message { seq text sender { username } } } } }";
const SEND: &str = "mutation ($input: SendMessageInput!) { sendMessage(input: $input) {
    message { id seq } conversation { id kind } replayed } }";

/// Sends a message and gives the conversation's id.
async fn send(who: &Person, key: &str, to: Value, message: &str) -> String {
    let input = json!({ "idempotencyKey": key, "to": to, "text": message });
    let data = who.client.data(SEND, json!({ "input": input })).await;
    assert_eq!(data["sendMessage"]["replayed"], false);
    text(&data["sendMessage"]["conversation"]["id"])
}

async fn next_notification(socket: &mut Socket) -> (String, Value) {
    let mut event = socket.event().await;
    let event = event["newNotification"].take();
    (text(&event["cursor"]), event)
}

#[expect(clippy::too_many_lines, reason = "a story is told from its beginning to its end")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_people_on_three_shards() {
    let world = World::new().await;
    let client = world.system().await;
    let people = world.people_on_different_shards(&client, 3).await;
    let [ada, bob, cyd] = people.as_slice() else { panic!("three people") };

    // Ada posts a picture; what it knows of her whereabouts stays with her.
    let file = picture_with_gps();
    assert!(file.windows(10).any(|window| window == b"GPS-SECRET"));
    let media = upload(&ada.client, &file).await;
    follow(bob, ada).await;
    follow(cyd, ada).await;
    eventually("Ada is told of both followers", async || {
        let query = "{ viewer { notifications { nodes { kind actorCount } } } }";
        let data = ada.client.data(query, json!({})).await;
        let told = json!([{ "kind": "FOLLOW", "actorCount": 2 }]);
        (data["viewer"]["notifications"]["nodes"] == told).then_some(())
    })
    .await;
    let mut adas = ada.client.socket().await;
    adas.subscribe(NOTIFICATION, json!({})).await;
    let input = json!({ "idempotencyKey": "first", "mediaIds": [media],
        "caption": format!("Hello #World with @{}", bob.username), "location": "Here" });
    let data = ada
        .client
        .data(
            "mutation ($input: CreatePostInput!) { createPost(input: $input) {
                replayed post { id hashtags { name } mentions { username } likeCount } } }",
            json!({ "input": input }),
        )
        .await;
    let post = &data["createPost"]["post"];
    assert_eq!(post["hashtags"], json!([{ "name": "world" }]));
    assert_eq!(post["mentions"][0]["username"], json!(bob.username));
    let post = text(&post["id"]);

    // Both see it in their feeds, with a picture that can be fetched and says nothing about Ada.
    for reader in [bob, cyd] {
        let nodes = eventually("the post is in the feed", async || {
            let nodes = feed(reader).await;
            (!nodes.is_empty()).then_some(nodes)
        })
        .await;
        assert_eq!(nodes[0]["id"], json!(post));
        assert_eq!(nodes[0]["author"]["username"], json!(ada.username));
        assert_eq!(nodes[0]["media"][0]["width"], 1200);
        assert_eq!(nodes[0]["media"][0]["alt"], "a pattern");
        let shown = client.http.get(text(&nodes[0]["media"][0]["url"])).send().await.expect("an answer");
        assert_eq!(shown.headers()["content-type"], "image/webp");
        let shown = shown.bytes().await.expect("a file");
        assert!(!shown.windows(10).any(|window| window == b"GPS-SECRET"));
        assert!(!shown.windows(4).any(|window| window == b"Exif" || window == b"EXIF"));
    }

    // Bob likes it, Cyd comments, and Ada hears of both, live.
    let liked = bob
        .client
        .data(
            "mutation ($id: ID!) { likePost(id: $id) { post { likeCount viewerHasLiked } } }",
            json!({ "id": post }),
        )
        .await;
    assert_eq!(liked["likePost"]["post"], json!({ "likeCount": 1, "viewerHasLiked": true }));
    let (_, event) = next_notification(&mut adas).await;
    assert_eq!(event["notification"]["kind"], "LIKE");
    assert_eq!(event["notification"]["actors"][0]["username"], json!(bob.username));
    let input = json!({ "idempotencyKey": "c", "postId": post, "text": "Nice!" });
    cyd.client
        .data(
            "mutation ($input: CreateCommentInput!) { createComment(input: $input) {
                comment { id text author { username } } post { commentCount } replayed } }",
            json!({ "input": input }),
        )
        .await;
    let (_, event) = next_notification(&mut adas).await;
    assert_eq!(event["notification"]["kind"], "COMMENT");
    assert_eq!(event["notification"]["target"]["__typename"], "Post");
    assert_eq!(event["unreadCount"], 3);

    // The post's thread, and a direct message. Ada's socket breaks, and she misses some of it.
    let thread = send(bob, "t1", json!({ "postId": post }), "in the thread").await;
    // With a cursor, so that what comes before the subscription is in force is not missed.
    let topic = Topic::Conversation(ConversationId::parse("id", &thread).expect("an id"));
    let first = cursor::encode(topic, Position { generation: 0, n: 1 });
    let mut listening = ada.client.socket().await;
    listening.subscribe(MESSAGE, json!({ "id": thread, "after": first })).await;
    let direct = send(cyd, "d1", json!({ "userId": ada.id }), "hello").await;
    let (cursor, event) = next_notification(&mut adas).await;
    assert_eq!(event["notification"]["kind"], "MESSAGE");
    adas.cut();
    send(bob, "t2", json!({ "postId": post }), "again").await;
    let seen = listening.event().await;
    assert_eq!(seen["messageAdded"]["message"]["text"], "again");
    let last = text(&seen["messageAdded"]["cursor"]);
    listening.cut();
    for number in 0..5 {
        send(bob, &format!("m{number}"), json!({ "conversationId": thread }), &format!("missed {number}"))
            .await;
    }
    let mut back = ada.client.socket().await;
    back.subscribe(MESSAGE, json!({ "id": thread, "after": last })).await;
    for number in 0..5 {
        let event = back.event().await;
        assert_eq!(event["messageAdded"]["message"]["text"], json!(format!("missed {number}")));
        assert_eq!(event["messageAdded"]["message"]["seq"], json!(number + 3));
        assert_eq!(event["messageAdded"]["replayed"], true);
    }
    send(cyd, "live", json!({ "conversationId": thread }), "live again").await;
    let event = back.event().await;
    assert_eq!(event["messageAdded"]["message"]["text"], "live again");
    assert_eq!(event["messageAdded"]["replayed"], false);

    // Her notifications go on where they stopped too.
    send(cyd, "d2", json!({ "conversationId": direct }), "are you there?").await;
    let mut back = ada.client.socket().await;
    back.subscribe(NOTIFICATION, json!({ "after": cursor })).await;
    let (_, event) = next_notification(&mut back).await;
    assert_eq!(event["notification"]["kind"], "MESSAGE");
    assert_eq!(event["notification"]["actors"][0]["username"], json!(cyd.username));
    let data = ada
        .client
        .data(
            "{ viewer { conversations { nodes { kind unreadCount lastMessage { text } } }
                notifications { unreadCount nodes { kind isRead } } } }",
            json!({}),
        )
        .await;
    let conversations = data["viewer"]["conversations"]["nodes"].as_array().expect("nodes");
    assert_eq!(conversations[0]["lastMessage"]["text"], "are you there?");
    assert_eq!(conversations[0]["unreadCount"], 2);
    world.close().await;
}
