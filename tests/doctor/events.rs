//! However often events come, and in which order, and whoever dies meanwhile: the doctor finds no drift.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream;
use fowergram::app::Role;
use fowergram::model::id::{ConversationId, slot_of};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

use super::is_well;
use crate::harness::binary::Running;
use crate::harness::client::Client;
use crate::harness::{World, eventually, stack};
use crate::outage::{circle, drained, event_stream, everywhere, live_a_little, recount, recount_told};

/// Under this header a message carries an event's id, where it is not the message's own.
const EVENT_ID: &str = "Fowergram-Event-Id";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_twice_and_in_any_order() {
    let world = World::new().await;
    let (_, address) = world.api().await;
    let worker = world.process(Role::Worker).await;
    let client = Client::new(address);
    let people = circle(&world, &client).await;
    // Pictures are made by a worker, and none is there while the rest happens.
    let pictures = futures_util::future::join_all(
        people.iter().map(|person| async move { [person.media().await, person.media().await] }),
    );
    let pictures = pictures.await;
    drained(&world).await;
    worker.stop().await;
    let stream = event_stream(&world).await;
    let begin = stream.get_info().await.expect("the stream answers").state.last_sequence + 1;

    let mut posts = Vec::new();
    for (index, person) in people.iter().enumerate() {
        let words = format!("#tag{index} #all with @{}", people[(index + 1) % people.len()].username);
        posts.push(person.show(&pictures[index][0], &words).await);
        posts.push(person.show(&pictures[index][1], "#gone #all").await);
    }
    for (index, person) in people.iter().enumerate() {
        let (next, other) = (&people[(index + 1) % people.len()], &people[(index + 2) % people.len()]);
        for post in &posts {
            person.like(post).await;
        }
        let unlike = person.on("unlikePost(id: $id) { post { id } }", &posts[index]).await;
        assert!(unlike["errors"].is_null(), "{unlike}");
        person.unfollow(next).await;
        person.follow(other).await;
        person.unfollow(other).await;
        person.follow(other).await;
        let comment = person.comment(&posts[0], None, "nice").await;
        other.comment(&posts[0], Some(&comment), &format!("very, @{}", next.username)).await;
        for word in ["one", "two", "three"] {
            person.write(json!({ "postId": posts[0] }), word).await;
            person.write(json!({ "userId": next.id }), word).await;
        }
        let update = "mutation ($input: UpdatePostInput!) { updatePost(input: $input) { post { id } } }";
        let own = &posts[2 * index];
        for caption in ["#all #other", "#tag9"] {
            let input = json!({ "id": own, "caption": caption });
            person.client.data(update, json!({ "input": input })).await;
        }
    }
    for (index, person) in people.iter().enumerate() {
        person.delete_post(&posts[2 * index + 1]).await;
    }
    world.settle().await;

    // What has happened is taken out of the stream, and put in again, all of it twice and mixed.
    let last = stream.get_info().await.expect("the stream answers").state.last_sequence;
    let mut events = Vec::new();
    for sequence in begin..=last {
        events.push(stream.get_raw_message(sequence).await.expect("an event"));
    }
    assert!(events.len() > 100, "{} events", events.len());
    stream.purge().await.expect("the stream is emptied");
    let mut twice: Vec<_> = events.iter().chain(&events).collect();
    twice.shuffle(&mut rand::rngs::StdRng::seed_from_u64(4));
    let nats = async_nats::connect(world.servers().nats().url()).await.expect("NATS answers");
    let nats = jetstream::new(nats);
    for event in twice {
        let mut headers = HeaderMap::new();
        headers.insert(EVENT_ID, event.headers.get("Nats-Msg-Id").expect("an id").as_str());
        let sent = nats.publish_with_headers(event.subject.clone(), headers, event.payload.clone()).await;
        sent.expect("it is sent").await.expect("the stream takes it");
    }
    world.process(Role::Worker).await;
    drained(&world).await;
    is_well(&world).await;
    recount_told(&world).await;
    let comments =
        "select sum(actor_count)::integer as n from notifications where kind = 2 and actor_count > 0";
    let told = everywhere(&world, comments).await;
    // All but the author have commented on the post, and each is one of its actors.
    assert_eq!(told.iter().filter_map(|row| row["n"].as_i64()).sum::<i64>(), 3);
    world.close().await;
}

/// The worker is stopped, as by a power cut, when its effects are committed and none of its acks has
/// come to NATS: NATS stands still then, and forgets what it did not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_dies_between_its_effects_and_its_acks() {
    let world = World::alone().await;
    let (app, address) = world.api().await;
    let worker = world.process(Role::Worker).await;
    let client = Client::new(address);
    let people = circle(&world, &client).await;
    live_a_little(&people).await;
    let (ada, bob) = (&people[0], &people[1]);
    let (conversation, seq) = ada.write(json!({ "userId": bob.id }), "before").await;
    drained(&world).await;
    is_well(&world).await;
    worker.stop().await;
    // Nothing that waits for a row, and none of the transactions that hold one, may end before NATS stands still.
    let patience = "--shard-statement-timeout-ms=50000";
    stack::migrate(&world.config_with(&[patience]).shards).await;
    let mut worker = Running::start("worker", &world.settings_with(&[patience]));
    worker.logged("working").await;

    // Each effect waits for a row that is held here.
    let home = |id: &str| app.domain().store.owner(slot_of(uuid::Uuid::try_parse(id).expect("an id")));
    let conversation = ConversationId::parse("id", &conversation).expect("a conversation's id");
    let held = [
        (home(&ada.id), format!("select from users where id = '{}' for update", ada.id)),
        (home(&bob.id), format!("select from receivers where user_id = '{}' for update", bob.id)),
        (home(&bob.id), format!("select from inbox where user_id = '{}' for update", bob.id)),
    ];
    let mut holds = Vec::new();
    for (shard, sql) in held {
        let connection = stack::connect(&world.shard_url(shard)).await;
        connection.execute_unprepared(&format!("begin; {sql}")).await.expect("it is held");
        holds.push(connection);
    }
    ada.follow(bob).await;
    ada.write(json!({ "userId": bob.id }), "after").await;
    let stream = event_stream(&world).await;
    let pending = async |effect: &str| {
        let info = stream.consumer_info(effect).await.ok()?;
        (info.num_pending == 0).then_some(info.num_ack_pending)
    };
    let waits = async |effect: &str, least: usize| {
        eventually("the effects wait", async || pending(effect).await.filter(|pending| *pending >= least))
            .await
    };
    world.settle().await;
    for (effect, least) in [("mirror", 1), ("notification", 2), ("inbox", 1)] {
        waits(effect, least).await;
    }
    let frozen = world.servers().nats().freeze();
    for connection in &holds {
        connection.execute_unprepared("commit").await.expect("it is let go");
    }
    let (a, b) = (home(&ada.id), home(&bob.id));
    let committed = [
        (
            a,
            format!(
                "select 1 from following where user_id = '{}' and followee_id = '{}' and active",
                ada.id, bob.id
            ),
        ),
        (
            b,
            format!(
                "select 1 from inbox where user_id = '{}' and conversation_id = '{conversation}' and last_seq = {}",
                bob.id,
                seq + 1
            ),
        ),
        (
            b,
            format!(
                "select 1 from notification_actors a join notifications n on n.id = notification_id
            where n.user_id = '{}' and n.kind = 6 and a.actor_id = '{}' and a.version = {}",
                bob.id,
                ada.id,
                seq + 1
            ),
        ),
    ];
    for (shard, sql) in &committed {
        eventually("the effect is committed", async || {
            (!world.rows(*shard, sql).await.is_empty()).then_some(())
        })
        .await;
    }
    worker.kill().await;
    // Killed while it stands still, so that it never reads what was sent to it.
    world.servers().nats().kill().await;
    drop(frozen);
    world.servers().nats().start().await.expect("NATS starts");
    let stream = event_stream(&world).await;
    for (effect, least) in [("mirror", 1), ("notification", 2), ("inbox", 1)] {
        let info = stream.consumer_info(effect).await.expect("the consumer is there");
        let open = info.num_ack_pending + usize::try_from(info.num_pending).expect("few");
        assert!(open >= least, "{effect} was acked: {info:?}");
    }

    world.process(Role::Worker).await;
    tokio::time::timeout(Duration::from_mins(2), drained(&world)).await.expect("the events come again");
    is_well(&world).await;
    recount(&world).await;
    let log = format!("select n from receiver_log where user_id = '{}'", bob.id);
    let n = world.rows(b, &format!("select n from receivers where user_id = '{}'", bob.id)).await;
    assert_eq!(n[0]["n"], Value::from(world.rows(b, &log).await.len()));
    world.close().await;
}
