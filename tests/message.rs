//! What becomes of messages that were sent: for those who are there, and for those who come back.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::client::{Person, Socket, code, text};
use crate::harness::{World, eventually};
use crate::live::warm_up;

const EDIT: &str = "mutation ($id: ID!, $text: String!) { editMessage(id: $id, text: $text) {
    message { text editedAt seq } } }";
const DELETE: &str = "mutation ($id: ID!) { deleteMessage(id: $id) {
    message { text isDeleted seq media { id } reactions { emoji } } } }";
const REACT: &str = "mutation ($id: ID!, $emoji: String!, $on: Boolean!) {
    reactToMessage(id: $id, emoji: $emoji, on: $on) { message { reactions { emoji count viewerReacted } } } }";
const READ: &str = "mutation ($id: ID!, $seq: Int!) { markConversationRead(id: $id, seq: $seq) {
    conversation { unreadCount lastReadSeq } } }";
const STREAM: &str = "subscription ($id: ID!, $after: Cursor) { messageAdded(conversationId: $id, after: $after) {
    __typename cursor replayed ... on MessageEvent { change message { id seq text isDeleted reactions { emoji } } } } }";
const MESSAGES: &str = "query ($id: ID!) { conversation(id: $id) { messages(last: 100) {
    nodes { id seq text isDeleted reactions { emoji } } } } }";

async fn message_ids(reader: &Person, conversation: &str) -> Vec<String> {
    let data = reader.client.data(MESSAGES, json!({ "id": conversation })).await;
    let nodes = data["conversation"]["messages"]["nodes"].as_array().expect("nodes");
    nodes.iter().map(|node| text(&node["id"])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_edited_deleted_and_reacted_to() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob, cyd) =
        (client.sign_up("ada").await, client.sign_up("bob").await, client.sign_up("cyd").await);
    let (conversation, _) = ada.write(json!({ "userId": bob.id }), "helo").await;
    let id = message_ids(&ada, &conversation).await.remove(0);

    let edited = ada.client.data(EDIT, json!({ "id": id, "text": "hello" })).await;
    assert_eq!(edited["editMessage"]["message"]["text"], "hello");
    assert!(edited["editMessage"]["message"]["editedAt"].is_string());
    for (who, text, wanted) in
        [(&bob, "mine", "FORBIDDEN"), (&cyd, "mine", "NOT_FOUND"), (&ada, " ", "BAD_USER_INPUT")]
    {
        assert_eq!(who.client.code(EDIT, json!({ "id": id, "text": text })).await, wanted);
    }

    let react = async |who: &Person, emoji: &str, on: bool| {
        who.client.ask(REACT, json!({ "id": id, "emoji": emoji, "on": on })).await
    };
    let shown = |answer: &Value| answer["data"]["reactToMessage"]["message"]["reactions"].clone();
    let both = join_all([react(&ada, "👍", true), react(&bob, "👍", true), react(&bob, "👍", true)]).await;
    assert!(both.iter().all(|answer| answer["errors"].is_null()), "{both:?}");
    assert_eq!(
        shown(&react(&bob, "❤", true).await),
        json!([{ "emoji": "👍", "count": 2, "viewerReacted": true }, { "emoji": "❤️", "count": 1, "viewerReacted": true }])
    );
    assert_eq!(
        shown(&react(&ada, "👍", false).await),
        json!([{ "emoji": "👍", "count": 1, "viewerReacted": false }, { "emoji": "❤️", "count": 1, "viewerReacted": false }])
    );
    for emoji in ["😀", "😁", "😂"] {
        assert!(react(&bob, emoji, true).await["errors"].is_null());
    }
    assert_eq!(code(&react(&bob, "😃", true).await).as_deref(), Some("CONFLICT"), "a sixth");
    assert_eq!(code(&react(&bob, "word", true).await).as_deref(), Some("BAD_USER_INPUT"));
    assert_eq!(code(&react(&cyd, "👍", true).await).as_deref(), Some("NOT_FOUND"));

    for _ in 0..2 {
        let deleted = ada.client.data(DELETE, json!({ "id": id })).await;
        assert_eq!(
            deleted["deleteMessage"]["message"],
            json!({ "text": null, "isDeleted": true, "seq": 1, "media": [], "reactions": [] })
        );
    }
    assert_eq!(ada.client.code(EDIT, json!({ "id": id, "text": "again" })).await, "CONFLICT");
    assert_eq!(code(&react(&bob, "👍", true).await).as_deref(), Some("CONFLICT"));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_a_conversation_counts_down_and_never_back() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let mut conversation = String::new();
    for number in 0..5 {
        conversation = ada.write(json!({ "userId": bob.id }), &number.to_string()).await.0;
    }
    let unread = "query ($id: ID!) { conversation(id: $id) { unreadCount }
        viewer { notifications { unreadCount } conversations { unreadCount } } }";
    eventually("bob's inbox has them", async || {
        let data = bob.client.data(unread, json!({ "id": conversation })).await;
        (data["conversation"]["unreadCount"] == 5 && data["viewer"]["notifications"]["unreadCount"] == 1)
            .then_some(())
    })
    .await;
    let read = async |seq: i32| {
        let data = bob.client.data(READ, json!({ "id": conversation, "seq": seq })).await;
        let shown = &data["markConversationRead"]["conversation"];
        (shown["unreadCount"].as_i64(), shown["lastReadSeq"].as_i64())
    };
    assert_eq!(read(3).await, (Some(2), Some(3)));
    assert_eq!(read(1).await, (Some(2), Some(3)));
    assert_eq!(read(1000).await, (Some(0), Some(5)));
    let data = bob.client.data(unread, json!({ "id": conversation })).await;
    assert_eq!(data["viewer"]["notifications"]["unreadCount"], 0);
    assert_eq!(data["viewer"]["conversations"]["unreadCount"], 0);
    assert_eq!(bob.client.code(READ, json!({ "id": conversation, "seq": -1 })).await, "BAD_USER_INPUT");
    world.settle().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_is_told_what_became_of_each_message() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let mut conversation = String::new();
    for number in 1..=6 {
        conversation = ada.write(json!({ "userId": bob.id }), &number.to_string()).await.0;
    }
    // Bob listens for a while, and goes.
    let mut socket = bob.client.socket().await;
    socket.subscribe(STREAM, json!({ "id": conversation, "after": null })).await;
    warm_up(&ada, &conversation, &mut socket).await;
    ada.write(json!({ "conversationId": conversation }), "the last that he sees").await;
    let last = text(&socket.event().await["messageAdded"]["cursor"]);
    socket.cut();

    let ids = message_ids(&ada, &conversation).await;
    ada.client.data(EDIT, json!({ "id": ids[0], "text": "one" })).await;
    ada.client.data(DELETE, json!({ "id": ids[1] })).await;
    bob.client.data(REACT, json!({ "id": ids[2], "emoji": "👍", "on": true })).await;
    // Edited and then deleted: what counts is what it became.
    ada.client.data(EDIT, json!({ "id": ids[3], "text": "four" })).await;
    ada.client.data(DELETE, json!({ "id": ids[3] })).await;
    // New to him, in its newest state.
    let (_, newest) = ada.write(json!({ "conversationId": conversation }), "nwe").await;
    let new = message_ids(&ada, &conversation).await.pop().expect("a message");
    ada.client.data(EDIT, json!({ "id": new, "text": "new" })).await;

    let mut socket = bob.client.socket().await;
    socket.subscribe(STREAM, json!({ "id": conversation, "after": last })).await;
    let mut told = Vec::new();
    let mut cursor = String::new();
    for _ in 0..6 {
        let event = socket.event().await["messageAdded"].take();
        assert_eq!(event["replayed"], true, "{event}");
        let seq = event["message"]["seq"].as_i64().expect("a number");
        told.push((seq, text(&event["change"]), event["message"]["text"].clone()));
        cursor = text(&event["cursor"]);
    }
    let expected = [
        (1, "EDITED", json!("one")),
        (2, "DELETED", Value::Null),
        (3, "REACTED", json!("3")),
        (4, "DELETED", Value::Null),
        (newest, "SENT", json!("new")),
        (newest, "EDITED", json!("new")),
    ];
    assert_eq!(told, expected.map(|(seq, change, text)| (seq, change.to_owned(), text)));
    socket.cut();

    // To him the edit of the first is known: a reaction to it is no edit.
    ada.client.data(REACT, json!({ "id": ids[0], "emoji": "👍", "on": true })).await;
    let mut socket = bob.client.socket().await;
    socket.subscribe(STREAM, json!({ "id": conversation, "after": cursor })).await;
    let event = socket.event().await["messageAdded"].take();
    assert_eq!((&event["change"], &event["message"]["seq"]), (&json!("REACTED"), &json!(1)), "{event}");
    // And live, from here on.
    ada.client.data(EDIT, json!({ "id": ids[4], "text": "five" })).await;
    let event = socket.event().await["messageAdded"].take();
    assert_eq!((&event["change"], &event["message"]["text"]), (&json!("EDITED"), &json!("five")), "{event}");
    assert_eq!(event["replayed"], false);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_in_their_order_though_an_early_one_was_changed() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let (conversation, _) = ada.write(json!({ "userId": bob.id }), "hello").await;
    let listen = async |after: Value| {
        let mut socket = bob.client.socket().await;
        socket.subscribe(STREAM, json!({ "id": conversation, "after": after })).await;
        socket
    };
    let told = async |socket: &mut Socket| {
        let event = socket.event().await["messageAdded"].take();
        let message = &event["message"];
        ((text(&event["change"]), message["seq"].as_i64(), message["text"].clone()), event["cursor"].clone())
    };
    let mut socket = listen(Value::Null).await;
    warm_up(&ada, &conversation, &mut socket).await;
    let to = json!({ "conversationId": conversation });
    ada.write(to.clone(), "the last that he sees").await;
    let (_, last) = told(&mut socket).await;
    socket.cut();

    let (_, one) = ada.write(to.clone(), "noe").await;
    let (_, two) = ada.write(to.clone(), "two").await;
    let ids = message_ids(&ada, &conversation).await;
    ada.client.data(EDIT, json!({ "id": ids[ids.len() - 2], "text": "one" })).await;
    let (_, three) = ada.write(to, "three").await;
    let change = |change: &str, seq, text: &str| (change.to_owned(), Some(seq), json!(text));

    let expected = [
        change("SENT", one, "one"),
        change("SENT", two, "two"),
        change("EDITED", one, "one"),
        change("SENT", three, "three"),
    ];
    // Wherever one is cut off meanwhile, it is the same.
    for cut in 0..expected.len() {
        let (mut heard, mut cursor) = (Vec::new(), last.clone());
        while heard.len() < expected.len() {
            let mut socket = listen(cursor.clone()).await;
            for _ in 0..=cut.min(expected.len() - heard.len() - 1) {
                let event = told(&mut socket).await;
                heard.push(event.0);
                cursor = event.1;
            }
            socket.cut();
        }
        assert_eq!(heard, expected, "cut off after {cut}");
    }
    world.close().await;
}
