//! What a newer program has written, in the hands of this one.

use async_nats::HeaderMap;
use async_nats::jetstream;
use fowergram::app::Role;
use fowergram::model::Clock;
use fowergram::model::id::{EventId, Slot};
use serde_json::{Value, json};

use crate::harness::client::{Client, Person, text};
use crate::harness::{World, eventually};
use crate::outage::{drained, event_stream};

const NOTIFIED: &str = "subscription ($after: Cursor) { newNotification(after: $after) { cursor
    ... on NotificationEvent { notification { id kind } } } }";

/// The ids and kinds of somebody's notifications.
async fn notifications(person: &Person) -> Vec<(String, String)> {
    let query = "{ viewer { notifications { nodes { id kind text } } } }";
    let data = person.client.data(query, json!({})).await;
    let nodes = data["viewer"]["notifications"]["nodes"].as_array().expect("nodes").iter();
    nodes.map(|node| (text(&node["id"]), text(&node["kind"]))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notification_of_an_unknown_kind_is_left_out() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let posts = [ada.client.post("one").await, ada.client.post("two").await, ada.client.post("three").await];
    bob.like(&posts[0]).await;
    eventually("Ada is told", async || (notifications(&ada).await.len() == 1).then_some(())).await;
    let cursor = {
        bob.follow(&ada).await;
        eventually("Ada is told", async || (notifications(&ada).await.len() == 2).then_some(())).await;
        let mut socket = ada.client.socket().await;
        socket.subscribe(NOTIFIED, json!({})).await;
        loop {
            // Until the subscription is in force.
            let number = uuid::Uuid::new_v4();
            client.sign_up(&format!("fan{}", &number.simple().to_string()[..8])).await.follow(&ada).await;
            let told = tokio::time::timeout(std::time::Duration::from_secs(1), socket.event()).await;
            if let Ok(event) = told {
                break text(&event["newNotification"]["cursor"]);
            }
        }
    };
    bob.like(&posts[1]).await;
    let unknown = eventually("Ada is told", async || {
        let all = notifications(&ada).await;
        (all.iter().filter(|(_, kind)| kind == "LIKE").count() == 2).then(|| all[0].0.clone())
    })
    .await;
    let shard = world.owner(&ada.id);
    world.execute(shard, &format!("update notifications set kind = 99 where id = '{unknown}'")).await;
    world.execute(shard, "update receiver_log set topic = 99 where topic = 3").await;
    bob.like(&posts[2]).await;

    let shown = eventually("Ada is told", async || {
        let shown = notifications(&ada).await;
        (shown.len() == 3).then_some(shown)
    })
    .await;
    assert!(shown.iter().all(|(id, _)| *id != unknown), "{shown:?}");
    let node = "query ($id: ID!) { node(id: $id) { id } }";
    assert_eq!(ada.client.data(node, json!({ "id": unknown })).await["node"], Value::Null);
    let mut socket = ada.client.socket().await;
    socket.subscribe(NOTIFIED, json!({ "after": cursor })).await;
    loop {
        let event = socket.event().await;
        let notification = &event["newNotification"]["notification"];
        assert_ne!(notification["id"], json!(unknown));
        if notification["id"] == json!(shown[0].0) {
            break;
        }
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_number_is_taken_for_what_lets_less() {
    let world = World::new().await;
    let client = world.system().await;
    let ada = client.sign_up("ada").await;
    let post = ada.client.post("mine").await;
    for table in
        ["users set role = 99, messages_from = 99", "posts set comment_policy = 99", "media set state = 99"]
    {
        world.execute(world.owner(&ada.id), &format!("update {table}")).await;
    }
    let query = "query ($id: ID!) { viewer { role settings { messagesFrom } }
        post(id: $id) { commentPolicy media { state url } } }";
    let data = ada.client.data(query, json!({ "id": post })).await;
    assert_eq!(data["viewer"], json!({ "role": "USER", "settings": { "messagesFrom": "NOBODY" } }));
    let media = json!([{ "state": "FAILED", "url": null }]);
    assert_eq!(data["post"], json!({ "commentPolicy": "NOBODY", "media": media }));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_newer_program_are_applied_or_wait_for_its_workers() {
    let world = World::new().await;
    let (_, address) = world.api().await;
    let client = Client::new(address);
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let old = world.process(Role::Worker).await;
    bob.follow(&ada).await;
    drained(&world).await;
    old.stop().await;
    ada.follow(&bob).await;
    world.settle().await;
    let stream = event_stream(&world).await;
    let last = stream.get_info().await.expect("the stream answers").state.last_sequence;
    let followed = stream.get_raw_message(last).await.expect("an event");
    stream.purge().await.expect("the stream is emptied");

    let nats = async_nats::connect(world.servers().nats().url()).await.expect("NATS answers");
    let nats = jetstream::new(nats);
    let send = async |id: String, event: Value| {
        let mut headers = HeaderMap::new();
        headers.insert("Fowergram-Event-Id", id);
        let sent =
            nats.publish_with_headers(followed.subject.clone(), headers, event.to_string().into()).await;
        sent.expect("it is sent").await.expect("the stream takes it");
    };
    let mut more: Value = serde_json::from_slice(&followed.payload).expect("JSON");
    assert_eq!(more["type"], "user_followed");
    more["later"] = json!({ "added": true });
    send(followed.headers.get("Nats-Msg-Id").expect("an id").to_string(), more).await;
    let id = EventId::make(&Clock::system(), Slot::random()).to_string();
    send(id, json!({ "type": "user_waved", "user": ada.id })).await;

    let worker = world.process(Role::Worker).await;
    eventually("the event with a new field is applied", async || {
        let query = "query ($id: ID!) { user(id: $id) { following { nodes { username } } } }";
        let data = client.data(query, json!({ "id": ada.id })).await;
        (data["user"]["following"]["nodes"][0]["username"] == "bob").then_some(())
    })
    .await;
    eventually("the unknown event is delivered again", async || {
        let info = stream.consumer_info("mirror").await.ok()?;
        (info.num_redelivered > 0).then_some(())
    })
    .await;
    let dead = fowergram::worker::dead::list(&worker.domain().bus, 10).await.expect("the stream answers");
    assert!(dead.is_empty(), "{dead:?}");
    world.close().await;
}
