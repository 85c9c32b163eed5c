//! Who may begin to write to whom, and who may go on.

use serde_json::{Value, json};

use crate::harness::act::{SEND, START};
use crate::harness::client::{Client, Person, code, text};
use crate::harness::{SHARDS, World};

const SET: &str = "mutation ($input: SettingsInput!) { updateSettings(input: $input) {
    viewer { settings { messagesFrom } } } }";
const SETTINGS: &str = "{ viewer { settings { messagesFrom } } }";
const CAN: &str = "query ($ids: [ID!]!) { nodes(ids: $ids) { ... on User { relationship { canMessage } } } }";

async fn take_from(who: &Person, policy: &str) {
    let data = who.client.data(SET, json!({ "input": { "messagesFrom": policy } })).await;
    assert_eq!(data["updateSettings"]["viewer"]["settings"]["messagesFrom"], json!(policy));
}

/// Whether an answer is none that forbids.
fn is_let(answer: &Value) -> bool {
    match code(answer).as_deref() {
        None => true,
        Some("FORBIDDEN") => false,
        Some(_) => panic!("{answer}"),
    }
}

fn message(to: &Value) -> Value {
    json!({ "input": { "idempotencyKey": uuid::Uuid::new_v4(), "to": to, "text": "hello" } })
}

/// Writes to somebody or somewhere; whether that is allowed.
async fn may_write(who: &Person, to: &Value) -> bool {
    is_let(&who.client.ask(SEND, message(to)).await)
}

async fn may_write_to(who: &Person, whom: &Person) -> bool {
    may_write(who, &json!({ "userId": whom.id })).await
}

/// Starts a conversation; whether that is allowed.
async fn may_start(who: &Person, whom: &[&Person]) -> bool {
    let members: Vec<&String> = whom.iter().map(|person| &person.id).collect();
    let input = json!({ "idempotencyKey": uuid::Uuid::new_v4(), "memberIds": members });
    is_let(&who.client.ask(START, json!({ "input": input })).await)
}

/// Whether the viewer may begin to write to each; `None` where nothing is said of it.
async fn can_message(who: &Client, whom: &[&Person]) -> Vec<Option<bool>> {
    let ids: Vec<&String> = whom.iter().map(|person| &person.id).collect();
    let data = who.data(CAN, json!({ "ids": ids })).await;
    let nodes = data["nodes"].as_array().expect("nodes").clone();
    nodes.iter().map(|node| node["relationship"]["canMessage"].as_bool()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_decides_who_may_begin() {
    let world = World::new().await;
    let client = world.system().await;
    let sender = client.sign_up("sender").await;
    let friend = client.sign_up("friend").await;
    let mut receivers = Vec::new();
    for policy in ["EVERYONE", "FOLLOWERS", "NOBODY"] {
        let receiver = client.sign_up(&format!("from_{}", policy.to_lowercase())).await;
        assert_eq!(
            receiver.client.data(SETTINGS, json!({})).await["viewer"]["settings"]["messagesFrom"],
            "EVERYONE"
        );
        take_from(&receiver, policy).await;
        // What is not mentioned stays, and null mentions nothing.
        for nothing in [json!({}), json!({ "messagesFrom": null })] {
            let data = receiver.client.data(SET, json!({ "input": nothing })).await;
            assert_eq!(data["updateSettings"]["viewer"]["settings"]["messagesFrom"], json!(policy));
        }
        friend.follow(&receiver).await;
        // That the receiver follows somebody lets nobody in.
        receiver.follow(&sender).await;
        receivers.push(receiver);
    }
    let [everyone, followers, nobody] = receivers.as_slice() else { panic!("three") };
    let all = [everyone, followers, nobody, &sender];

    assert_eq!(can_message(&sender.client, &all).await, [Some(true), Some(false), Some(false), None]);
    assert_eq!(can_message(&friend.client, &all).await, [Some(true), Some(true), Some(false), Some(true)]);
    assert_eq!(can_message(&client, &all).await, [None; 4], "of strangers nothing is said");

    // Groups first: they begin nothing between two.
    assert!(may_start(&sender, &[everyone, &friend]).await);
    assert!(!may_start(&sender, &[everyone, followers]).await);
    assert!(may_start(&friend, &[everyone, followers]).await);
    assert!(!may_start(&friend, &[everyone, nobody]).await);
    let group = sender.start(&[everyone], Some("group")).await;
    for (who, wanted) in [(followers, false), (nobody, false), (&friend, true)] {
        assert_eq!(is_let(&sender.set_member(&group, who, true).await), wanted, "{}", who.username);
    }

    for who in [followers, nobody] {
        assert!(!may_start(&sender, &[who]).await);
        assert!(!may_write_to(&sender, who).await);
    }
    assert!(!may_start(&friend, &[nobody]).await);
    assert!(!may_write_to(&friend, nobody).await);
    for (from, to) in [(&sender, everyone), (&friend, everyone), (&friend, followers)] {
        assert!(may_write_to(from, to).await, "{} to {}", from.username, to.username);
    }

    // A post's thread is not its author's inbox.
    let post = nobody.client.post("talk").await;
    assert!(may_write(&sender, &json!({ "postId": post })).await);

    // Who is suspended is not there.
    for shard in 0..SHARDS {
        world.execute(shard, &format!("update users set state = 2 where id = '{}'", everyone.id)).await;
    }
    let refused = friend.client.code(SEND, message(&json!({ "userId": everyone.id }))).await;
    assert_eq!(refused, "NOT_FOUND");
    assert_eq!(can_message(&friend.client, &[everyone, followers]).await, [None, Some(true)]);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_written_to_may_answer_and_keeps_that() {
    let world = World::new().await;
    let client = world.system().await;
    let ada = client.sign_up("ada").await;
    let mut others = Vec::new();
    for name in ["early", "fan", "answerer"] {
        others.push(client.sign_up(name).await);
    }
    let [early, fan, answerer] = others.as_slice() else { panic!("three") };

    // Two have begun while they might; Ada has answered neither, and takes messages from nobody.
    fan.follow(&ada).await;
    let (with_early, _) = early.write(json!({ "userId": ada.id }), "hello").await;
    let (with_fan, _) = fan.write(json!({ "userId": ada.id }), "hello").await;
    let both = |conversation: &str| [json!({ "userId": ada.id }), json!({ "conversationId": conversation })];
    let expect = async |who: &Person, conversation: &str, wanted: bool| {
        for to in both(conversation) {
            assert_eq!(may_write(who, &to).await, wanted, "{} to {to}", who.username);
        }
    };
    for (policy, for_early, for_fan) in
        [("EVERYONE", true, true), ("FOLLOWERS", false, true), ("NOBODY", false, false)]
    {
        take_from(&ada, policy).await;
        expect(early, &with_early, for_early).await;
        expect(fan, &with_fan, for_fan).await;
    }
    // What is there is found all the same.
    assert!(may_start(early, &[&ada]).await);
    take_from(&ada, "FOLLOWERS").await;
    fan.unfollow(&ada).await;
    expect(fan, &with_fan, false).await;
    take_from(&ada, "NOBODY").await;

    // Whoever she writes to may answer; and the others still don't.
    let (with_answerer, _) = ada.write(json!({ "userId": answerer.id }), "hello").await;
    for _ in 0..2 {
        expect(answerer, &with_answerer, true).await;
    }
    ada.write(json!({ "conversationId": with_early }), "well").await;
    expect(early, &with_early, true).await;
    expect(fan, &with_fan, false).await;
    // She may write to them, for they take messages from everyone.
    assert!(may_write_to(&ada, fan).await);
    expect(fan, &with_fan, true).await;

    // A thread keeps no such numbers.
    let post = ada.client.post("talk").await;
    let (thread, _) = ada.write(json!({ "postId": post }), "begin").await;
    let mut numbers = Vec::new();
    for shard in 0..SHARDS {
        let sql = format!(
            "select conversation_id, sent_seq from members where user_id = '{}' and conversation_id in
                ('{with_answerer}', '{thread}')",
            ada.id
        );
        numbers.extend(world.rows(shard, &sql).await);
    }
    numbers.sort_by_key(|row| row["sent_seq"].as_i64());
    let numbers: Vec<(String, i64)> = numbers
        .iter()
        .map(|row| (text(&row["conversation_id"]), row["sent_seq"].as_i64().expect("a number")))
        .collect();
    assert_eq!(numbers, [(thread, 0), (with_answerer, 1)]);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_stays_sent_when_it_is_asked_for_again() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let request = message(&json!({ "userId": bob.id }));
    let start = json!({ "input": { "idempotencyKey": "k", "memberIds": [bob.id], "title": "Two" } });
    let sent = ada.client.data(SEND, request.clone()).await;
    let started = ada.client.data(START, start.clone()).await;
    take_from(&bob, "NOBODY").await;
    assert!(!may_write_to(&ada, &bob).await);
    let again = ada.client.data(SEND, request).await;
    assert_eq!(again["sendMessage"]["message"], sent["sendMessage"]["message"]);
    let started_again = ada.client.data(START, start).await;
    assert_eq!(
        started_again["startConversation"]["conversation"],
        started["startConversation"]["conversation"]
    );
    assert_eq!(
        (&again["sendMessage"]["replayed"], &started_again["startConversation"]["replayed"]),
        (&json!(true), &json!(true))
    );
    world.close().await;
}
