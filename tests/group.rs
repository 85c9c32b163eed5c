//! Groups: who is in them, and what each member's list says, in whatever order the events come.

use fowergram::app::Role;
use fowergram::model::id::ConversationId;
use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::harness::act::{SEND, START};
use crate::harness::client::{Client, Person, Socket, code, text};
use crate::harness::{SHARDS, World, eventually};

const CONVERSATIONS: &str = "query ($archived: Boolean) { viewer { conversations(archived: $archived) {
    unreadCount nodes { id unreadCount isArchived isMuted } } } }";
const MEMBERS: &str = "query ($id: ID!) { conversation(id: $id) { members { nodes { username } } } }";
const STREAM: &str =
    "subscription ($id: ID!, $after: Cursor) { messageAdded(conversationId: $id, after: $after) {
    __typename cursor ... on MessageEvent { message { seq text } }
    ... on ReadEvent { marker { user { username } seq } } } }";

async fn people(client: &Client, names: &[&str]) -> Vec<Person> {
    let mut people = Vec::new();
    for name in names {
        people.push(client.sign_up(name).await);
    }
    people
}

async fn members(who: &Person, conversation: &str) -> Vec<String> {
    let data = who.client.data(MEMBERS, json!({ "id": conversation })).await;
    let nodes = data["conversation"]["members"]["nodes"].as_array().expect("nodes").clone();
    nodes.iter().map(|node| text(&node["username"])).collect()
}

/// The ids in somebody's list, with what is unread of each.
async fn list(who: &Person, archived: bool) -> Vec<(String, i64)> {
    let data = who.client.data(CONVERSATIONS, json!({ "archived": archived })).await;
    let nodes = data["viewer"]["conversations"]["nodes"].as_array().expect("nodes").clone();
    // Where the list has not followed yet, there is nothing in a place.
    let shown = nodes.iter().filter(|node| !node.is_null());
    shown.map(|node| (text(&node["id"]), node["unreadCount"].as_i64().expect("a number"))).collect()
}

async fn listed(who: &Person, wanted: &[(&str, i64)]) {
    let wanted: Vec<(String, i64)> = wanted.iter().map(|(id, unread)| ((*id).to_owned(), *unread)).collect();
    eventually("the list has it", async || (list(who, false).await == wanted).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go_and_the_last_one_leaves() {
    let world = World::new().await;
    let client = world.system().await;
    let people = people(&client, &["ada", "bob", "cyd", "dan", "eve"]).await;
    let [ada, bob, cyd, dan, eve] = people.as_slice() else { panic!("five") };

    // The same request, ten times at once, starts one group.
    let input = json!({ "idempotencyKey": "k", "memberIds": [bob.id, cyd.id], "title": " Trip " });
    let starts = (0..10).map(|_| ada.client.data(START, json!({ "input": input })));
    let started = join_all(starts).await;
    let group = text(&started[0]["startConversation"]["conversation"]["id"]);
    let expected = json!({ "id": group, "kind": "GROUP", "title": "Trip" });
    assert!(
        started.iter().all(|start| start["startConversation"]["conversation"] == expected),
        "{started:?}"
    );
    let fresh = started.iter().filter(|start| start["startConversation"]["replayed"] == false);
    assert_eq!(fresh.count(), 1);
    assert_eq!(members(bob, &group).await[0], "ada");
    listed(cyd, &[(&group, 0)]).await;

    // What is written is unread for the others, and for who comes later there is nothing unread.
    bob.write(json!({ "conversationId": group }), "hello").await;
    listed(cyd, &[(&group, 1)]).await;
    listed(bob, &[(&group, 0)]).await;
    assert!(bob.set_member(&group, dan, true).await["errors"].is_null());
    assert!(bob.set_member(&group, dan, true).await["errors"].is_null());
    listed(dan, &[(&group, 0)]).await;
    ada.write(json!({ "conversationId": group }), "welcome").await;
    listed(dan, &[(&group, 1)]).await;

    // Only who has been there longest takes others out; strangers do nothing at all.
    assert_eq!(code(&bob.set_member(&group, cyd, false).await).as_deref(), Some("FORBIDDEN"));
    assert_eq!(code(&eve.set_member(&group, eve, true).await).as_deref(), Some("NOT_FOUND"));
    assert!(ada.set_member(&group, cyd, false).await["errors"].is_null());
    assert_eq!(members(ada, &group).await, ["ada", "bob", "dan"]);
    listed(cyd, &[]).await;
    let input = json!({ "idempotencyKey": "x", "to": { "conversationId": group }, "text": "still?" });
    assert_eq!(cyd.client.code(SEND, json!({ "input": input })).await, "NOT_FOUND");
    assert!(cyd.client.data(MEMBERS, json!({ "id": group })).await["conversation"].is_null());
    let left = ada.set_member(&group, ada, false).await;
    assert!(left["errors"].is_null() && left["data"]["setConversationMember"].is_null(), "{left}");
    // It is Bob now; and who was taken out may be brought back.
    assert!(bob.set_member(&group, cyd, true).await["errors"].is_null());
    listed(cyd, &[(&group, 0)]).await;
    for (by, user) in [(bob, cyd), (bob, dan), (bob, bob)] {
        assert!(by.set_member(&group, user, false).await["errors"].is_null());
    }
    for person in [ada, bob, cyd, dan] {
        listed(person, &[]).await;
    }
    world.settle().await;
    let app = world.process(Role::Api).await;
    for shard in 0..SHARDS {
        app.domain().purge_ended(shard).await.expect("a purge");
        for table in ["conversations", "messages", "members"] {
            assert!(world.rows(shard, &format!("select * from {table}")).await.is_empty(), "{table}");
        }
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_conversations_and_threads_have_their_own_members() {
    let world = World::new().await;
    let client = world.system().await;
    let people = people(&client, &["ada", "bob", "cyd"]).await;
    let [ada, bob, cyd] = people.as_slice() else { panic!("three") };
    // Started from both sides at once, and by a message, it is the same.
    let (with_bob, with_ada) = ([bob], [ada]);
    let (one, other) = tokio::join!(ada.start(&with_bob, None), bob.start(&with_ada, None));
    assert_eq!(one, other);
    assert_eq!(list(bob, false).await, [], "nobody has written");
    assert_eq!(ada.write(json!({ "userId": bob.id }), "hello").await, (one.clone(), 1));
    listed(bob, &[(&one, 1)]).await;
    for (user, member) in [(cyd, true), (ada, false)] {
        assert_eq!(code(&ada.set_member(&one, user, member).await).as_deref(), Some("CONFLICT"));
    }
    let bad = [json!([]), json!([ada.id]), json!(vec![bob.id.clone(); 256])];
    for members in bad {
        let input = json!({ "idempotencyKey": "k", "memberIds": members });
        assert_eq!(ada.client.code(START, json!({ "input": input })).await, "BAD_USER_INPUT", "{input}");
    }

    // A thread is followed by who writes, or wants to; nobody puts others in.
    let post = ada.client.post("talk").await;
    let (thread, _) = bob.write(json!({ "postId": post }), "first").await;
    assert_eq!(code(&bob.set_member(&thread, cyd, true).await).as_deref(), Some("FORBIDDEN"));
    assert!(cyd.set_member(&thread, cyd, true).await["errors"].is_null());
    listed(cyd, &[(&thread, 0)]).await;
    bob.write(json!({ "postId": post }), "second").await;
    listed(cyd, &[(&thread, 1)]).await;
    let left = cyd.set_member(&thread, cyd, false).await;
    assert_eq!(left["data"]["setConversationMember"]["conversation"]["id"], json!(thread));
    listed(cyd, &[]).await;
    world.settle().await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_kept_in_order_by_its_owner() {
    let world = World::new().await;
    let client = world.system().await;
    let people = people(&client, &["ada", "bob", "cyd"]).await;
    let [ada, bob, cyd] = people.as_slice() else { panic!("three") };
    let group = ada.start(&[bob, cyd], None).await;
    listed(bob, &[(&group, 0)]).await;
    let flags = async |archived: Option<bool>, muted: Option<bool>| {
        let query = "mutation ($id: ID!, $archived: Boolean, $muted: Boolean) {
            setConversationFlags(id: $id, archived: $archived, muted: $muted) {
                conversation { isArchived isMuted } } }";
        let variables = json!({ "id": group, "archived": archived, "muted": muted });
        bob.client.data(query, variables).await["setConversationFlags"]["conversation"].clone()
    };
    assert_eq!(flags(None, Some(true)).await, json!({ "isArchived": false, "isMuted": true }));
    assert_eq!(flags(Some(true), None).await, json!({ "isArchived": true, "isMuted": true }));
    ada.write(json!({ "conversationId": group }), "hello").await;
    eventually("the archived one has it", async || {
        (list(bob, true).await == [(group.clone(), 1)]).then_some(())
    })
    .await;
    assert!(list(bob, false).await.is_empty());
    let data = bob.client.data(CONVERSATIONS, json!({ "archived": true })).await;
    assert_eq!(data["viewer"]["conversations"]["unreadCount"], 1);
    // Cyd is notified, and Bob is not.
    let notifications = "{ viewer { notifications { nodes { kind } } } }";
    eventually("Cyd is notified", async || {
        let data = cyd.client.data(notifications, json!({})).await;
        (data["viewer"]["notifications"]["nodes"] == json!([{ "kind": "MESSAGE" }])).then_some(())
    })
    .await;
    world.settle().await;
    let data = bob.client.data(notifications, json!({})).await;
    assert_eq!(data["viewer"]["notifications"]["nodes"], json!([]));
    world.close().await;
}

async fn next(socket: &mut Socket) -> Value {
    socket.event().await["messageAdded"].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_others_see_how_far_a_member_has_read() {
    let world = World::new().await;
    let client = world.system().await;
    let people = people(&client, &["ada", "bob", "cyd"]).await;
    let [ada, bob, cyd] = people.as_slice() else { panic!("three") };
    let group = ada.start(&[bob, cyd], Some("Books")).await;
    for number in 0..3 {
        ada.write(json!({ "conversationId": group }), &number.to_string()).await;
    }
    let mut socket = cyd.client.socket().await;
    socket.subscribe(STREAM, json!({ "id": group, "after": null })).await;
    crate::live::warm_up(ada, &group, &mut socket).await;
    let read = async |seq: i32| {
        let query = "mutation ($id: ID!, $seq: Int!) { markConversationRead(id: $id, seq: $seq) {
            conversation { lastReadSeq } } }";
        bob.client.data(query, json!({ "id": group, "seq": seq })).await
    };
    read(2).await;
    let event = next(&mut socket).await;
    assert_eq!(event["marker"], json!({ "user": { "username": "bob" }, "seq": 2 }), "{event}");
    let cursor = text(&event["cursor"]);
    socket.cut();
    // Twice the same, and back, is nothing; the last one is told to who comes back.
    for seq in [2, 1, 3] {
        read(seq).await;
    }
    let mut socket = cyd.client.socket().await;
    socket.subscribe(STREAM, json!({ "id": group, "after": cursor })).await;
    let event = next(&mut socket).await;
    assert_eq!(event["marker"]["seq"], 3, "{event}");
    let query = "query ($id: ID!) { conversation(id: $id) { readMarkers { user { username } seq } } }";
    let data = cyd.client.data(query, json!({ "id": group })).await;
    let markers = data["conversation"]["readMarkers"].as_array().expect("markers").clone();
    assert!(markers.contains(&json!({ "user": { "username": "bob" }, "seq": 3 })), "{markers:?}");
    assert!(!markers.iter().any(|marker| marker["user"]["username"] == "cyd"), "{markers:?}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_taken_out_hears_no_more() {
    let world = World::new().await;
    let client = world.system().await;
    let people = people(&client, &["ada", "bob"]).await;
    let [ada, bob] = people.as_slice() else { panic!("two") };
    let group = ada.start(&[bob], Some("Two")).await;
    let mut socket = bob.client.socket().await;
    let id = socket.subscribe(STREAM, json!({ "id": group, "after": null })).await;
    crate::live::warm_up(ada, &group, &mut socket).await;
    // Without another message the stream ends.
    ada.set_member(&group, bob, false).await;
    let ended = socket.receive().await.expect("the socket is open");
    assert_eq!(ended["payload"]["errors"][0]["extensions"]["code"], "NOT_FOUND", "{ended}");
    assert_eq!(socket.receive().await.expect("open"), json!({ "type": "complete", "id": id }));
    ada.write(json!({ "conversationId": group }), "alone").await;
    socket.subscribe("{ viewer { user { username } } }", json!({})).await;
    assert_eq!(socket.event().await["viewer"]["user"]["username"], "bob", "nothing came before it");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_out_sees_nothing_though_no_worker_says_so() {
    let world = World::new().await;
    let (_, address) = world.api().await;
    let worker = world.process(Role::Worker).await;
    let client = Client::new(address);
    // The starter is the youngest account.
    let people = people(&client, &["cyd", "bob", "ada"]).await;
    let [cyd, bob, ada] = people.as_slice() else { panic!("three") };
    let group = ada.start(&[bob, cyd], Some("Three")).await;
    ada.write(json!({ "conversationId": group }), "secret").await;
    listed(cyd, &[(&group, 1)]).await;
    worker.stop().await;
    assert_eq!(code(&bob.set_member(&group, cyd, false).await).as_deref(), Some("FORBIDDEN"));
    assert!(ada.set_member(&group, cyd, false).await["errors"].is_null());
    for query in [
        "{ viewer { conversations { nodes { title messages { nodes { text } } } } } }",
        "{ viewer { conversations { nodes { title lastMessage { text } members { nodes { username } } } } } }",
    ] {
        let data = cyd.client.data(query, json!({})).await;
        assert_eq!(data["viewer"]["conversations"]["nodes"], json!([]), "{query}");
    }
    world.process(Role::Worker).await;
    listed(cyd, &[]).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_left_is_not_brought_back_by_what_is_late() {
    let world = World::new().await;
    let (app, address) = world.api().await;
    let client = Client::new(address);
    let people = [world.person_on(&client, 0).await, world.person_on(&client, 1).await];
    let [ada, bob] = &people;
    let group = ada.start(&[bob], Some("Two")).await;
    let id = ConversationId::parse("id", &group).expect("an id");
    // Who delivers the start knows of both members, and is held up behind Bob's log.
    let shard = world.owner(&bob.id);
    world.execute(shard, &format!("insert into receivers (user_id) values ('{}')", bob.id)).await;
    let mut held = PgConnection::connect(&world.shard_url(shard)).await.expect("a connection");
    sqlx::query("begin").execute(&mut held).await.expect("begun");
    let lock = format!("select from receivers where user_id = '{}' for update", bob.id);
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut held).await.expect("locked");
    let late = async { app.domain().follow_conversation(id, 1, &[]).await.expect("delivered") };
    let meanwhile = async {
        eventually("it waits", async || {
            let waiting = "select 1 from pg_stat_activity where datname = current_database()
                and wait_event_type = 'Lock'";
            (!world.rows(shard, waiting).await.is_empty()).then_some(())
        })
        .await;
        ada.set_member(&group, bob, false).await;
        let left =
            async { app.domain().follow_conversation(id, 2, &[bob.user_id()]).await.expect("delivered") };
        let let_go = async {
            eventually("he has left", async || {
                let left =
                    format!("select 1 from inbox where user_id = '{}' and left_at is not null", bob.id);
                (!world.rows(shard, &left).await.is_empty()).then_some(())
            })
            .await;
            sqlx::query("commit").execute(&mut held).await.expect("let go");
        };
        tokio::join!(left, let_go);
    };
    tokio::join!(late, meanwhile);
    let kept = kept(&world, &people, &group).await;
    assert_eq!((&kept[0][0]["is_in"], &kept[1][0]["is_in"]), (&json!(true), &json!(false)), "{kept:?}");
    world.process(Role::Worker).await;
    world.close().await;
}

/// What a member's list and log say of a conversation: whether it is there, its last message, what was read,
/// and the messages in the log's order.
async fn kept(world: &World, people: &[Person], conversation: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for person in people {
        let mut rows = Vec::new();
        for shard in 0..SHARDS {
            let sql = format!(
                "select left_at is null as is_in, last_seq, read_seq, logged_change,
                    (select json_agg(ref_id order by n) from receiver_log
                        where user_id = inbox.user_id and topic = 1) as logged
                 from inbox where user_id = '{}' and conversation_id = '{conversation}'",
                person.id
            );
            rows.extend(world.rows(shard, &sql).await);
        }
        all.push(json!(rows));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_logs_are_the_same_in_whatever_order_the_events_come() {
    const SEED: u64 = 4;
    let world = World::new().await;
    // Without a worker: the events wait, and are delivered below.
    let (app, address) = world.api().await;
    let client = Client::new(address);
    let people = people(&client, &["ada", "bob", "cyd", "dan"]).await;
    let [ada, bob, cyd, dan] = people.as_slice() else { panic!("four") };
    let group = ada.start(&[bob, cyd], Some("Order")).await;
    let id = ConversationId::parse("id", &group).expect("an id");
    let mut random = StdRng::seed_from_u64(SEED);
    let mut sent = Vec::new();
    // (change, who left with it)
    let mut left = vec![(1, Vec::new())];
    for (number, change) in (0..60).zip(2..) {
        match number {
            20 | 40 => {
                ada.set_member(&group, cyd, number == 40).await;
                left.push((change, if number == 20 { vec![cyd.user_id()] } else { Vec::new() }));
            }
            30 => {
                ada.set_member(&group, dan, true).await;
                left.push((change, Vec::new()));
            }
            _ => {
                let writer = if random.random_bool(0.5) { ada } else { bob };
                sent.push(writer.write(json!({ "conversationId": group }), &number.to_string()).await.1);
                left.push((change, Vec::new()));
            }
        }
        // Some are delivered while the group goes on; the most recent first.
        if number % 7 == 0 {
            for (change, left) in left.iter().rev().take(3) {
                app.domain().follow_conversation(id, *change, left).await.expect("delivered");
            }
        }
    }
    // All of them twice, four at a time, in any order.
    let mut deliveries: Vec<_> = left.iter().chain(&left).cloned().collect();
    deliveries.shuffle(&mut random);
    for four in deliveries.chunks(4) {
        let all = four.iter().map(|(change, left)| app.domain().follow_conversation(id, *change, left));
        join_all(all).await.into_iter().collect::<Result<Vec<()>, _>>().expect("delivered");
    }

    let query = "query ($id: ID!) { conversation(id: $id) { messages(first: 100) { nodes { id } } } }";
    let data = ada.client.data(query, json!({ "id": group })).await;
    let nodes = data["conversation"]["messages"]["nodes"].as_array().expect("nodes").clone();
    let ids: Vec<String> = nodes.iter().map(|node| text(&node["id"])).collect();
    assert_eq!(ids.len(), sent.len());
    let first = kept(&world, &people, &group).await;
    for (person, kept) in people.iter().zip(&first) {
        let kept = &kept[0];
        assert_eq!((&kept["is_in"], &kept["last_seq"]), (&json!(true), &json!(sent.len())), "{kept}");
        let logged: Vec<String> = kept["logged"].as_array().into_iter().flatten().map(text).collect();
        let (from, to) = match person.username.as_str() {
            "ada" | "bob" => (0, sent.len()),
            // Those sent while she was out were sent to others; Dan was there from the thirtieth on.
            "cyd" => (usize::MAX, 0),
            _ => (29, sent.len()),
        };
        if from < to {
            assert_eq!(logged, ids[from..to], "{}", person.username);
        } else {
            let missed = &ids[20..38];
            assert!(logged.iter().all(|id| !missed[..1].contains(id)), "{logged:?}");
            assert!(logged.ends_with(&ids[38..]), "those since she is back, in order");
        }
        let mut once = logged.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), logged.len(), "{} was told twice", person.username);
    }
    // And once more changes nothing.
    for (change, left) in &left {
        app.domain().follow_conversation(id, *change, left).await.expect("delivered");
    }
    assert_eq!(kept(&world, &people, &group).await, first);
    world.process(Role::Worker).await;
    world.close().await;
}
