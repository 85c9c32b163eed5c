//! Who is no longer let in hears nothing more: every subscription field is tried as a stranger, with tokens
//! that are no good, by somebody whose session ends, and by somebody who is taken out of a conversation.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::World;
use crate::harness::client::{Client, Person, code};
use crate::harness::events::EventStream;
use crate::harness::schema::Schema;
use crate::live::warm_up;

/// What somebody who is taken out of a conversation gets of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The stream ends.
    Ends,
    /// It goes on without the conversation: up to this, which comes later.
    GoesOn(&'static str),
}

struct Row {
    field: &'static str,
    document: &'static str,
    then: Then,
}

const ROWS: &[Row] = &[
    Row {
        field: "viewerEvents",
        document: "subscription { viewerEvents { __typename ... on MessageEvent { message { text } } } }",
        then: Then::GoesOn("FollowEvent"),
    },
    Row {
        field: "messageAdded",
        document: "subscription ($conversation: ID!) { messageAdded(conversationId: $conversation) {
            __typename ... on MessageEvent { message { text } } } }",
        then: Then::Ends,
    },
    Row {
        field: "newNotification",
        document: "subscription { newNotification { __typename ... on NotificationEvent {
            notification { kind target { ... on Message { text } } } } } }",
        then: Then::GoesOn("FOLLOW"),
    },
    Row {
        field: "feedUpdated",
        document: "subscription { feedUpdated { __typename } }",
        then: Then::GoesOn("FeedEvent"),
    },
    Row {
        field: "userFollowed",
        document: "subscription { userFollowed { __typename } }",
        then: Then::GoesOn("FollowEvent"),
    },
    Row {
        field: "postCommented",
        document: "subscription ($post: ID!) { postCommented(postId: $post) { __typename } }",
        then: Then::GoesOn("PostEvent"),
    },
    Row {
        field: "postLiked",
        document: "subscription ($post: ID!) { postLiked(postId: $post) { __typename } }",
        then: Then::GoesOn("PostEvent"),
    },
    Row {
        field: "typing",
        document: "subscription ($conversation: ID!) { typing(conversationId: $conversation) { __typename } }",
        then: Then::Ends,
    },
];

/// Ada's group with Bob, and her post.
struct Scene {
    ada: Person,
    bob: Person,
    group: String,
    post: String,
}

async fn scene(client: &Client) -> Scene {
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let group = ada.start(&[&bob], Some("Two")).await;
    let post = ada.client.post("look").await;
    Scene { ada, bob, group, post }
}

impl Scene {
    fn variables(&self, row: &Row) -> Value {
        let mut variables = json!({});
        for (name, value) in [("conversation", &self.group), ("post", &self.post)] {
            if row.document.contains(&format!("${name}")) {
                variables[name] = json!(value);
            }
        }
        variables
    }

    async fn streams(&self, client: &Client) -> Vec<(&'static Row, EventStream)> {
        let mut streams = Vec::new();
        for row in ROWS {
            streams.push((row, client.stream(row.document, self.variables(row)).await));
        }
        streams
    }

    /// Does in the group and on the post what there is to be told of.
    async fn act(&self) {
        self.ada.write(json!({ "conversationId": self.group }), "secret").await;
        let typing = "mutation ($id: ID!) { setTyping(conversationId: $id) { ok } }";
        self.ada.client.data(typing, json!({ "id": self.group })).await;
    }
}

#[test]
fn every_subscription_has_a_row() {
    let schema = Schema::read();
    let fields: BTreeSet<&str> =
        schema.fields("Subscription").iter().map(|field| field.name.node.as_str()).collect();
    let rows: BTreeSet<&str> = ROWS.iter().map(|row| row.field).collect();
    assert_eq!(rows, fields);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_token_opens_no_stream() {
    let world = World::new().await;
    let client = world.system().await;
    let scene = scene(&client).await;
    let revoked = scene.bob.client.clone();
    let expired = scene.ada.client.clone();
    revoked.data("mutation { signOut { ok } }", json!({})).await;
    world.clock.advance(time::Duration::hours(1));
    let with = |token: &str| Client { token: Some(token.to_owned()), ..client.clone() };
    let (garbage, refresh) = (with("a.b.c"), with(&scene.ada.refresh_token));
    let cases = [
        (&client, "UNAUTHENTICATED"),
        (&garbage, "UNAUTHENTICATED"),
        (&refresh, "UNAUTHENTICATED"),
        (&expired, "TOKEN_EXPIRED"),
    ];
    for row in ROWS {
        for (client, wanted) in cases {
            let answer = client.try_stream(row.document, scene.variables(row)).await;
            let text = answer.text().await.expect("an answer");
            assert!(text.contains(wanted) && !text.contains("__typename"), "{}: {text}", row.field);
        }
    }
    for (client, wanted) in [(garbage, 4403), (expired, 4403), (revoked, 4403)] {
        let mut socket = client.knock("graphql-transport-ws").await.expect("a socket");
        let token = client.token.as_deref().unwrap_or_default();
        let payload = json!({ "authorization": format!("Bearer {token}") });
        socket.send(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(socket.receive().await, Err(wanted));
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_its_session() {
    let world = World::new().await;
    let client = world.system().await;
    let scene = scene(&client).await;
    let streams = scene.streams(&scene.bob.client).await;
    scene.bob.client.data("mutation { signOut { ok } }", json!({})).await;
    for (row, mut stream) in streams {
        let told = stream.rest().await;
        let [.., (_, last), _] = told.as_slice() else { panic!("{}: {told:?}", row.field) };
        assert_eq!(code(last).as_deref(), Some("TOKEN_REVOKED"), "{}: {told:?}", row.field);
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_taken_out_is_told_nothing_more_of_the_conversation() {
    let world = World::new().await;
    let client = world.system().await;
    let scene = scene(&client).await;
    let Scene { ada, bob, group, post } = &scene;
    bob.follow(ada).await;
    world.settle().await;
    let streams = scene.streams(&bob.client).await;
    // Each stream is in force when something was told on one that was opened later.
    let mut socket = bob.client.socket().await;
    socket.subscribe(ROWS[1].document, json!({ "conversation": group })).await;
    warm_up(ada, group, &mut socket).await;
    ada.set_member(group, bob, false).await;
    scene.act().await;
    world.settle().await;
    // Something for each of the streams that go on.
    ada.follow(bob).await;
    ada.client.post("another").await;
    ada.like(post).await;
    ada.comment(post, None, "mine").await;
    for (row, mut stream) in streams {
        match row.then {
            Then::Ends => {
                let told = stream.rest().await;
                let [.., (_, last), _] = told.as_slice() else { panic!("{}: {told:?}", row.field) };
                assert_eq!(code(last).as_deref(), Some("NOT_FOUND"), "{}: {told:?}", row.field);
                assert!(!format!("{told:?}").contains("secret"), "{}: {told:?}", row.field);
            }
            Then::GoesOn(fence) => loop {
                let told = stream.told().await.to_string();
                assert!(!told.contains("secret") && !told.contains("errors"), "{}: {told}", row.field);
                if told.contains(fence) {
                    break;
                }
            },
        }
    }
    world.close().await;
}
