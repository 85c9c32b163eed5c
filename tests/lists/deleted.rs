//! A message that is deleted before it is read leaves nothing to read behind.

use std::time::Duration;

use fowergram::app::App;
use fowergram::model::event::{Event, Sent};
use fowergram::model::id::{ConversationId, EventId, Slot};
use serde_json::{Value, json};

use super::{list, notifications};
use crate::harness::act::SEND;
use crate::harness::client::{Client, Person, Socket, text};
use crate::harness::{World, eventually};

const EVENTS: &str = "subscription { viewerEvents(topics: [MESSAGE]) {
    ... on MessageEvent { change message { text isDeleted conversation { unreadCount } } } } }";

/// Writes to somebody; the conversation's id and the message's.
async fn send(from: &Person, to: &Person, words: &str) -> (String, String) {
    let input = json!({ "idempotencyKey": uuid::Uuid::new_v4(), "to": { "userId": to.id }, "text": words });
    let data = from.client.data(SEND, json!({ "input": input })).await;
    let sent = &data["sendMessage"];
    (text(&sent["conversation"]["id"]), text(&sent["message"]["id"]))
}

async fn delete(who: &Person, message: &str) {
    let answer = who.on("deleteMessage(id: $id) { message { isDeleted } }", message).await;
    assert_eq!(answer["data"]["deleteMessage"]["message"]["isDeleted"], true, "{answer}");
}

/// What somebody has to read: conversations, messages of the newest conversation, notifications, and of these how many
/// are listed.
async fn badges(who: &Person) -> [i64; 4] {
    let (list, notifications) = (list(who, 10).await, notifications(who).await);
    let listed = notifications["nodes"].as_array().expect("nodes").len();
    let number = |value: &Value| value.as_i64().expect("a number");
    [
        number(&list["unreadCount"]),
        list["nodes"][0]["unreadCount"].as_i64().unwrap_or(0),
        number(&notifications["unreadCount"]),
        i64::try_from(listed).expect("few"),
    ]
}

async fn until(who: &Person, what: &str, wanted: [i64; 4]) {
    eventually(what, async || (badges(who).await == wanted).then_some(())).await;
}

/// Listens for messages, and is told of one.
async fn listening(who: &Person, writer: &Person) -> Socket {
    let mut socket = who.client.socket().await;
    socket.subscribe(EVENTS, json!({})).await;
    loop {
        send(writer, who, "warm").await;
        if tokio::time::timeout(Duration::from_secs(1), socket.event()).await.is_ok() {
            return socket;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_deleted_before_it_is_read_leaves_no_badge() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let (conversation, only) = send(&ada, &bob, "oops").await;
    until(&bob, "it is to be read", [1, 1, 1, 1]).await;
    delete(&ada, &only).await;
    until(&bob, "nothing is to be read", [0, 0, 0, 0]).await;

    let (_, first) = send(&ada, &bob, "one").await;
    let (_, second) = send(&ada, &bob, "two").await;
    until(&bob, "both are to be read", [1, 2, 1, 1]).await;
    delete(&ada, &first).await;
    until(&bob, "one is to be read", [1, 1, 1, 1]).await;
    // Another text notifies nobody again.
    let edit = "mutation ($id: ID!) { editMessage(id: $id, text: \"2\") { message { text } } }";
    ada.client.data(edit, json!({ "id": second })).await;
    let read =
        "mutation ($id: ID!) { markConversationRead(id: $id, seq: 3) { conversation { unreadCount } } }";
    let data = bob.client.data(read, json!({ "id": conversation })).await;
    assert_eq!(data["markConversationRead"]["conversation"]["unreadCount"], 0);
    ada.client.data(edit.replace("\"2\"", "\"zwei\"").as_str(), json!({ "id": second })).await;
    world.settle().await;
    until(&bob, "it was read", [0, 0, 0, 1]).await;

    // What was read before stays, and so does what notified of it.
    let (_, third) = send(&ada, &bob, "three").await;
    until(&bob, "a new one is to be read", [1, 1, 1, 1]).await;
    delete(&ada, &third).await;
    until(&bob, "that is gone", [0, 0, 0, 1]).await;
    assert_eq!(notifications(&bob).await["nodes"][0]["isRead"], true);

    // Streams tell of the new count where they told of the old one.
    let mut socket = listening(&bob, &ada).await;
    let (_, last) = send(&ada, &bob, "live").await;
    let told = async |socket: &mut Socket, change: &str, words: Value| loop {
        let event = socket.event().await["viewerEvents"].take();
        if event["change"] == change && event["message"]["text"] == words {
            break event["message"]["conversation"]["unreadCount"].as_i64().expect("a number");
        }
    };
    let before = told(&mut socket, "SENT", json!("live")).await;
    delete(&ada, &last).await;
    assert_eq!(told(&mut socket, "DELETED", Value::Null).await, before - 1);
    world.close().await;
}

/// The effects of a message that is deleted.
#[derive(Debug, Clone, Copy)]
enum Effect {
    Notify,
    FollowSent,
    FollowDeleted,
}

async fn apply(app: &App, effect: Effect, conversation: &str, (ada, bob): (&Person, &Person), seq: i32) {
    let id = ConversationId::parse("id", conversation).expect("an id");
    let change = i64::from(2 * seq - 1);
    let domain = app.domain();
    match effect {
        Effect::FollowSent => domain.follow_conversation(id, change, &[]).await,
        Effect::FollowDeleted => domain.follow_conversation(id, change + 1, &[]).await,
        Effect::Notify => {
            let members = vec![ada.user_id(), bob.user_id()];
            let sent = Some(Sent { seq, sender: ada.user_id(), members, at: 0 });
            let event = Event::ConversationChanged { conversation: id, change, sent, left: Vec::new() };
            let event_id = EventId::make(&domain.clock, Slot::random());
            domain.notify(event_id, &event).await
        }
    }
    .expect("it is applied");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_and_number_of_events_do_not_matter() {
    use Effect::{FollowDeleted, FollowSent, Notify};
    let world = World::new().await;
    let (app, address) = world.api().await;
    let client = Client::new(address);
    let ada = client.sign_up("ada").await;
    let orders: [&[Effect]; 6] = [
        &[Notify, FollowSent, FollowDeleted],
        &[FollowSent, Notify, FollowDeleted],
        &[FollowSent, FollowDeleted, Notify],
        &[FollowDeleted, Notify, FollowSent, Notify],
        &[Notify, FollowDeleted, Notify, FollowSent, FollowDeleted],
        &[FollowDeleted, FollowSent, FollowSent, Notify, Notify],
    ];
    let mut bobs = Vec::new();
    for (number, order) in orders.into_iter().enumerate() {
        let bob = client.sign_up(&format!("bob{number}")).await;
        for seq in [1, 2] {
            let (conversation, message) = send(&ada, &bob, "oops").await;
            delete(&ada, &message).await;
            for effect in order {
                apply(&app, *effect, &conversation, (&ada, &bob), seq).await;
            }
            assert_eq!(badges(&bob).await, [0, 0, 0, 0], "{order:?}, message {seq}");
        }
        bobs.push(bob);
    }
    // And all of it once more.
    world.process(fowergram::app::Role::Worker).await;
    crate::outage::drained(&world).await;
    for bob in &bobs {
        assert_eq!(badges(bob).await, [0, 0, 0, 0], "{}", bob.username);
    }
    world.close().await;
}

/// What is read on the socket may be read before the notification is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_is_not_notified_of_later() {
    let world = World::new().await;
    let (app, address) = world.api().await;
    let client = Client::new(address);
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let (conversation, _) = send(&ada, &bob, "quick").await;
    apply(&app, Effect::FollowSent, &conversation, (&ada, &bob), 1).await;
    assert_eq!(badges(&bob).await, [1, 1, 0, 0]);
    let read =
        "mutation ($id: ID!) { markConversationRead(id: $id, seq: 1) { conversation { unreadCount } } }";
    bob.client.data(read, json!({ "id": conversation })).await;
    apply(&app, Effect::Notify, &conversation, (&ada, &bob), 1).await;
    assert_eq!(badges(&bob).await, [0, 0, 0, 1]);
    world.process(fowergram::app::Role::Worker).await;
    world.close().await;
}
