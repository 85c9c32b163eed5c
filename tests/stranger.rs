//! What strangers get: each root field without a token, and other people's things with one.

use std::collections::BTreeSet;

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{DocumentOperations, Selection};
use fowergram::model::Clock;
use fowergram::model::id::{PostId, Slot};
use serde_json::{Value, json};

use crate::harness::client::{Client, Person, Socket, code, picture, text};
use crate::harness::schema::{ROOTS, Schema};
use crate::harness::{World, eventually};

/// What is answered.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// Something.
    Shown,
    /// Null, as for what is not there; or a list of nulls.
    Hidden,
    /// Null and an error with this code.
    Refused(String),
}

fn refused(code: &str) -> Answer {
    Answer::Refused(code.to_owned())
}

type Row = (&'static str, Value, Answer);

/// What is Ada's; Bob has no part in any of it but her public post.
struct Things {
    ada: Person,
    cyd: Person,
    bob: Person,
    post: String,
    comment: String,
    media: String,
    conversation: String,
    message: String,
    notification: String,
    session: String,
}

async fn things(client: &Client) -> Things {
    let ada = client.sign_up("ada").await;
    let cyd = client.sign_up("cyd").await;
    let bob = client.sign_up("bob").await;
    let post = ada.client.post("Look, a #stranger").await;
    let media = ada.client.ready_media(picture(32, 32)).await;
    let input = json!({ "idempotencyKey": "c", "postId": post, "text": "Nice" });
    let data = cyd.client.data(COMMENT, json!({ "input": input })).await;
    let comment = text(&data["createComment"]["comment"]["id"]);
    let input = json!({ "idempotencyKey": "m", "to": { "userId": ada.id }, "text": "Just you" });
    let sent = cyd.client.data(SEND, json!({ "input": input })).await;
    let sessions = ada.client.data("{ viewer { sessions { id } } }", json!({})).await;
    let notification = eventually("Ada is notified", async || {
        let query = "{ viewer { notifications { nodes { id } } } }";
        let data = ada.client.data(query, json!({})).await;
        data["viewer"]["notifications"]["nodes"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
    Things {
        post,
        comment,
        media,
        conversation: text(&sent["sendMessage"]["conversation"]["id"]),
        message: text(&sent["sendMessage"]["message"]["id"]),
        notification,
        session: text(&sessions["viewer"]["sessions"][0]["id"]),
        ada,
        cyd,
        bob,
    }
}

const NODE: &str = "query ($id: ID!) { node(id: $id) { id } }";
const NODES: &str = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }";
const CONVERSATION: &str = "query ($id: ID!) { conversation(id: $id) { id messages { nodes { text } } } }";
const USERS: &str = "{ users { nodes { id } } }";
const SHARDS: &str = "{ shards { name } }";
const REFRESH: &str = "mutation ($token: String!) { refreshToken(refreshToken: $token) { accessToken } }";
const REVOKE: &str = "mutation ($id: ID!) { revokeSession(id: $id) { ok } }";
const PROFILE: &str = "mutation ($input: ProfileInput!) { updateProfile(input: $input) { user { id } } }";
const REMOVE: &str = "mutation ($id: ID!) { removeFollower(id: $id) { user { id } } }";
const ANSWER: &str = "mutation ($id: ID!) { answerFollowRequest(userId: $id, accept: true) { user { id } } }";
const FINISH: &str = "mutation ($id: ID!) { finishUpload(mediaId: $id) { media { id } } }";
const CREATE: &str = "mutation ($input: CreatePostInput!) { createPost(input: $input) { post { id } } }";
const UPDATE: &str = "mutation ($input: UpdatePostInput!) { updatePost(input: $input) { post { id } } }";
const DELETE: &str = "mutation ($id: ID!) { deletePost(id: $id) { deletedId } }";
const COMMENT: &str =
    "mutation ($input: CreateCommentInput!) { createComment(input: $input) { comment { id } } }";
const SEND: &str = "mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { id } conversation { id } } }";
const READ: &str = "mutation ($id: ID!) { markNotificationAsRead(id: $id) { unreadCount } }";
const READ_ALL: &str = "mutation { markAllNotificationsAsRead { unreadCount } }";
const UPLOAD: &str = "mutation ($file: Upload!) { uploadMedia(file: $file) { media { id } } }";
const EDIT: &str = "mutation ($id: ID!) { editMessage(id: $id, text: \"mine\") { message { id } } }";
const UNSEND: &str = "mutation ($id: ID!) { deleteMessage(id: $id) { message { id } } }";
const REACT: &str =
    "mutation ($id: ID!) { reactToMessage(id: $id, emoji: \"👍\", on: true) { message { id } } }";
const SEEN: &str = "mutation ($id: ID!) { markConversationRead(id: $id, seq: 1) { conversation { id } } }";
const START: &str =
    "mutation ($input: StartConversationInput!) { startConversation(input: $input) { conversation { id } } }";
const MEMBER: &str = "mutation ($id: ID!, $user: ID!) {
    setConversationMember(id: $id, userId: $user, member: true) { conversation { id } } }";
const FLAGS: &str =
    "mutation ($id: ID!) { setConversationFlags(id: $id, muted: true) { conversation { id } } }";
const TYPE: &str = "mutation ($id: ID!) { setTyping(conversationId: $id) { ok } }";
const TYPING: &str = "subscription ($id: ID!) { typing(conversationId: $id) { until } }";
const SET: &str = "mutation ($input: SettingsInput!) { updateSettings(input: $input) { viewer { email } } }";
const LIKED: &str = "subscription ($id: ID!) { postLiked(postId: $id) { cursor } }";
const COMMENTED: &str = "subscription ($id: ID!) { postCommented(postId: $id) { cursor } }";
const LISTEN: &str = "subscription ($id: ID!) { messageAdded(conversationId: $id) { cursor } }";

/// Each root field, without a token.
fn anonymous(of: &Things) -> Vec<Row> {
    let id = |id: &str| json!({ "id": id });
    let stranger = || refused("UNAUTHENTICATED");
    let Things { ada, post, comment, media, conversation, message, notification, session, .. } = of;
    let key = "k";
    vec![
        ("{ viewer { email } }", json!({}), Answer::Hidden),
        ("query ($id: ID!) { user(id: $id) { username } }", id(&ada.id), Answer::Shown),
        ("{ isUsernameAvailable(username: \"nobody.yet\") }", json!({}), Answer::Shown),
        (NODE, id(&ada.id), Answer::Shown),
        (NODE, id(post), Answer::Shown),
        (NODE, id(comment), Answer::Shown),
        (NODE, id(media), Answer::Hidden),
        (NODE, id(conversation), Answer::Hidden),
        (NODE, id(message), Answer::Hidden),
        (NODE, id(notification), Answer::Hidden),
        (NODE, id(session), Answer::Hidden),
        (NODES, json!({ "ids": [media, conversation, message, notification, session] }), Answer::Hidden),
        (NODES, json!({ "ids": [post] }), Answer::Shown),
        ("query ($id: ID!) { post(id: $id) { caption } }", id(post), Answer::Shown),
        ("query ($id: ID!) { comment(id: $id) { text } }", id(comment), Answer::Shown),
        ("{ hashtag(name: \"stranger\") { posts { nodes { id } } } }", json!({}), Answer::Shown),
        (CONVERSATION, id(conversation), Answer::Hidden),
        (USERS, json!({}), stranger()),
        (SHARDS, json!({}), stranger()),
        // These two are for strangers, and say what is wrong with the input.
        (
            "mutation ($input: SignUpInput!) { signUp(input: $input) { accessToken } }",
            json!({ "input": { "username": "", "email": "", "password": "" } }),
            refused("BAD_USER_INPUT"),
        ),
        (
            "mutation ($input: SignInInput!) { signIn(input: $input) { accessToken } }",
            json!({ "input": { "login": "ada", "password": "a guess" } }),
            refused("INVALID_CREDENTIALS"),
        ),
        (REFRESH, json!({ "token": "made up" }), refused("TOKEN_REVOKED")),
        // Without a token no argument is looked at.
        ("mutation { signOut(allSessions: true) { ok } }", json!({}), stranger()),
        (REVOKE, id(session), stranger()),
        (REVOKE, id("nonsense"), stranger()),
        (PROFILE, json!({ "input": { "username": "" } }), stranger()),
        ("mutation ($id: ID!) { followUser(id: $id) { user { id } } }", id(&ada.id), stranger()),
        ("mutation ($id: ID!) { unfollowUser(id: $id) { user { id } } }", id(&ada.id), stranger()),
        (REMOVE, id(&ada.id), stranger()),
        (ANSWER, id(&ada.id), stranger()),
        (
            "mutation ($input: UploadInput!) { createUpload(input: $input) { url } }",
            json!({ "input": { "kind": "IMAGE", "contentType": "", "bytes": 0, "sha256": "" } }),
            stranger(),
        ),
        (FINISH, id(media), stranger()),
        (FINISH, id("nonsense"), stranger()),
        (UPLOAD, json!({ "file": null }), stranger()),
        (CREATE, json!({ "input": { "idempotencyKey": "", "mediaIds": [] } }), stranger()),
        (CREATE, json!({ "input": { "idempotencyKey": key, "mediaIds": [media] } }), stranger()),
        (UPDATE, json!({ "input": { "id": post, "caption": "mine" } }), stranger()),
        (UPDATE, json!({ "input": { "id": "" } }), stranger()),
        (DELETE, id(post), stranger()),
        (DELETE, id("nonsense"), stranger()),
        ("mutation ($id: ID!) { likePost(id: $id) { post { id } } }", id(post), stranger()),
        ("mutation ($id: ID!) { unlikePost(id: $id) { post { id } } }", id(post), stranger()),
        (COMMENT, json!({ "input": { "idempotencyKey": key, "postId": post, "text": "Hi" } }), stranger()),
        (COMMENT, json!({ "input": { "idempotencyKey": "", "postId": "", "text": "" } }), stranger()),
        (
            SEND,
            json!({ "input": { "idempotencyKey": key, "to": { "userId": ada.id }, "text": "Hi" } }),
            stranger(),
        ),
        (SEND, json!({ "input": { "idempotencyKey": "", "to": { "userId": "" } } }), stranger()),
        (READ, id(notification), stranger()),
        (READ, id("nonsense"), stranger()),
        (READ_ALL, json!({}), stranger()),
        (EDIT, id(message), stranger()),
        (EDIT, id("nonsense"), stranger()),
        (UNSEND, id(message), stranger()),
        (UNSEND, id("nonsense"), stranger()),
        (REACT, id(message), stranger()),
        (REACT, id("nonsense"), stranger()),
        (SEEN, id(conversation), stranger()),
        (SEEN, id("nonsense"), stranger()),
        (START, json!({ "input": { "idempotencyKey": key, "memberIds": [ada.id] } }), stranger()),
        (START, json!({ "input": { "idempotencyKey": "", "memberIds": [] } }), stranger()),
        (MEMBER, json!({ "id": conversation, "user": ada.id }), stranger()),
        (FLAGS, id(conversation), stranger()),
        (LISTEN, id(conversation), stranger()),
        (LISTEN, id("nonsense"), stranger()),
        ("subscription { viewerEvents { cursor } }", json!({}), stranger()),
        (COMMENTED, id(post), stranger()),
        (COMMENTED, id("nonsense"), stranger()),
        (LIKED, id(post), stranger()),
        (LIKED, id("nonsense"), stranger()),
        (TYPING, id(conversation), stranger()),
        (TYPING, id("nonsense"), stranger()),
        (TYPE, id(conversation), stranger()),
        (TYPE, id("nonsense"), stranger()),
        (SET, json!({ "input": { "messagesFrom": "NOBODY" } }), stranger()),
        ("subscription { newNotification { cursor } }", json!({}), stranger()),
        ("subscription { userFollowed { cursor } }", json!({}), stranger()),
        ("subscription { feedUpdated { cursor } }", json!({}), stranger()),
    ]
}

/// Ada's things, with Bob's token.
fn signed_in(of: &Things) -> Vec<Row> {
    let id = |id: &str| json!({ "id": id });
    let missing = || refused("NOT_FOUND");
    let Things { ada, post, media, conversation, message, notification, session, .. } = of;
    let absent = PostId::make(&Clock::system(), Slot::random()).to_string();
    let send = |to: Value, more: (&str, &str)| {
        let mut input = json!({ "idempotencyKey": "k", "to": to, "text": "Hi" });
        input[more.0] = if more.0 == "mediaIds" { json!([more.1]) } else { json!(more.1) };
        json!({ "input": input })
    };
    vec![
        (NODE, id(media), Answer::Hidden),
        (NODE, id(conversation), Answer::Hidden),
        (NODE, id(message), Answer::Hidden),
        (NODE, id(notification), Answer::Hidden),
        (NODE, id(session), Answer::Hidden),
        (NODES, json!({ "ids": [media, conversation, message, notification, session] }), Answer::Hidden),
        (CONVERSATION, id(conversation), Answer::Hidden),
        (ANSWER, id(&of.cyd.id), missing()),
        (USERS, json!({}), refused("FORBIDDEN")),
        (SHARDS, json!({}), refused("FORBIDDEN")),
        (REFRESH, json!({ "token": format!("{}x", ada.refresh_token) }), refused("TOKEN_REVOKED")),
        (REVOKE, id(session), missing()),
        (PROFILE, json!({ "input": { "avatarId": media } }), missing()),
        (FINISH, id(media), missing()),
        (CREATE, json!({ "input": { "idempotencyKey": "k", "mediaIds": [media] } }), missing()),
        (UPDATE, json!({ "input": { "id": post, "caption": "mine" } }), refused("FORBIDDEN")),
        (DELETE, id(post), refused("FORBIDDEN")),
        (SEND, send(json!({ "conversationId": conversation }), ("text", "Hi")), missing()),
        (SEND, send(json!({ "postId": post }), ("replyToId", message)), refused("BAD_USER_INPUT")),
        (SEND, send(json!({ "postId": post }), ("mediaIds", media)), missing()),
        (READ, id(notification), missing()),
        (EDIT, id(message), missing()),
        (UNSEND, id(message), missing()),
        (REACT, id(message), missing()),
        (SEEN, id(conversation), missing()),
        (MEMBER, json!({ "id": conversation, "user": of.bob.id }), missing()),
        (FLAGS, id(conversation), missing()),
        (LISTEN, id(conversation), missing()),
        (TYPING, id(conversation), missing()),
        (TYPE, id(conversation), missing()),
        // Posts are public: of those that the viewer may not see is said the same as of none.
        (COMMENTED, id(&absent), missing()),
        (LIKED, id(&absent), missing()),
    ]
}

/// The root fields of a document.
fn root_fields(document: &str) -> Vec<String> {
    let parsed = parse_query(document).expect("a document");
    let DocumentOperations::Single(operation) = parsed.operations else { panic!("one operation") };
    let items = operation.node.selection_set.node.items.into_iter();
    items
        .map(|item| match item.node {
            Selection::Field(field) => field.node.name.node.to_string(),
            _ => panic!("a field"),
        })
        .collect()
}

/// Sends the document the way that its operation goes: a file by a form, a subscription over a socket.
async fn ask(client: &Client, document: &str, variables: Value) -> Value {
    if document == UPLOAD {
        let operations = json!({ "query": document, "variables": variables }).to_string();
        let file =
            reqwest::multipart::Part::bytes(picture(8, 8)).mime_str("image/jpeg").expect("a media type");
        let form = reqwest::multipart::Form::new()
            .text("operations", operations)
            .text("map", json!({ "0": ["variables.file"] }).to_string())
            .part("0", file);
        let request = client.http.post(client.url()).header("GraphQL-Require-Preflight", "1");
        return request.multipart(form).send().await.expect("an answer").json().await.expect("JSON");
    }
    if !document.starts_with("subscription") {
        return client.ask(document, variables).await;
    }
    let mut socket = client.socket().await;
    socket.subscribe(document, variables).await;
    let message = socket.receive().await.expect("the socket is open");
    if message["type"] == "error" {
        json!({ "errors": message["payload"] })
    } else {
        message["payload"].clone()
    }
}

async fn check(client: &Client, rows: Vec<Row>) {
    for (document, variables, expected) in rows {
        let answer = ask(client, document, variables.clone()).await;
        let data = &answer["data"][&root_fields(document)[0]];
        let nothing = data.as_array().map_or(data.is_null(), |items| items.iter().all(Value::is_null));
        let got = match code(&answer) {
            Some(code) if nothing => Answer::Refused(code),
            None if nothing => Answer::Hidden,
            _ => Answer::Shown,
        };
        assert_eq!(got, expected, "{document} with {variables}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_what_is_public() {
    let world = World::new().await;
    let client = world.system().await;
    let things = things(&client).await;
    let rows = anonymous(&things);

    let schema = Schema::read();
    let fields = ROOTS.iter().flat_map(|root| schema.fields(root)).map(|field| field.name.node.to_string());
    let tried: BTreeSet<String> = rows.iter().flat_map(|(document, ..)| root_fields(document)).collect();
    let untried: Vec<String> = fields.filter(|field| !tried.contains(field)).collect();
    assert!(untried.is_empty(), "no row tries these as a stranger: {untried:?}");
    check(&client, rows).await;

    // A token that is none is not the same as none.
    for token in ["nonsense", "a.b.c", &things.ada.refresh_token] {
        let client = Client { token: Some(token.to_owned()), ..client.clone() };
        assert_eq!(client.code("{ viewer { email } }", json!({})).await, "UNAUTHENTICATED");
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_somebody_elses_stays_theirs() {
    let world = World::new().await;
    let client = world.system().await;
    let things = things(&client).await;
    check(&things.bob.client, signed_in(&things)).await;
    // Nothing of all that had an effect, and whose it is gets it.
    let Things { ada, cyd, post, conversation, .. } = &things;
    for person in [ada, cyd] {
        let data = person.client.data(CONVERSATION, json!({ "id": conversation })).await;
        assert_eq!(data["conversation"]["messages"]["nodes"], json!([{ "text": "Just you" }]));
    }
    let data = ada.client.data("query ($id: ID!) { post(id: $id) { caption } }", json!({ "id": post })).await;
    assert_eq!(data["post"]["caption"], "Look, a #stranger");
    for id in [&things.media, &things.conversation, &things.message, &things.notification] {
        assert_eq!(ada.client.data(NODE, json!({ "id": id })).await["node"]["id"], json!(id));
    }
    world.close().await;
}

/// Begins all subscriptions on one socket, as one to whom they are open.
async fn listen_to_all(client: &Client, rows: &[Row]) -> Socket {
    let mut socket = client.socket().await;
    for (document, variables, _) in rows {
        socket.subscribe(document, variables.clone()).await;
    }
    // Answered behind them: what is wrong with one of them was told before.
    let fence = socket.subscribe("{ viewer { email } }", json!({})).await;
    loop {
        let message = socket.receive().await.expect("the socket is open");
        assert!(message["type"] != "error" && message["payload"]["errors"].is_null(), "{message}");
        if message["id"] == json!(fence) && message["type"] == "complete" {
            return socket;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ends_ends_each_subscription() {
    let world = World::new().await;
    let client = world.system().await;
    let things = things(&client).await;
    let mut rows = anonymous(&things);
    rows.retain(|(document, variables, _)| {
        document.starts_with("subscription") && variables["id"] != "nonsense"
    });
    let schema = Schema::read();
    let fields = schema.fields("Subscription").into_iter().map(|field| field.name.node.to_string());
    let tried: Vec<String> = rows.iter().flat_map(|(document, ..)| root_fields(document)).collect();
    let untried: Vec<String> = fields.filter(|field| !tried.contains(field)).collect();
    assert!(untried.is_empty(), "no row listens to these: {untried:?}");

    let mut revoked = listen_to_all(&things.ada.client, &rows).await;
    things.ada.client.data("mutation { signOut { ok } }", json!({})).await;
    let mut expired = listen_to_all(&things.cyd.client, &rows).await;
    world.clock.advance(time::Duration::hours(1));
    for socket in [&mut revoked, &mut expired] {
        let closed = loop {
            if let Err(code) = socket.receive().await {
                break code;
            }
        };
        assert_eq!(closed, 4403);
    }
    world.close().await;
}
