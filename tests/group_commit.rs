//! Writes that are committed together: each is answered as if it had been alone.

use std::collections::{BTreeMap, BTreeSet};

use fowergram::app::Role;
use fowergram::domain::Domain;
use fowergram::model::Clock;
use fowergram::model::event::Event;
use fowergram::model::id::{CommentId, EventId, PostId, Slot, UserId};
use futures_util::future::{join, join_all};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use time::Duration;

use crate::harness::client::{Client, text};
use crate::harness::{World, eventually, stack};
use crate::live::system;

const COMMENT: &str = "mutation ($input: CreateCommentInput!) {
    createComment(input: $input) { comment { id } replayed } }";
const MESSAGE: &str = "mutation ($input: SendMessageInput!) {
    sendMessage(input: $input) { message { id seq } replayed } }";

fn codes(answer: &Value) -> Vec<&str> {
    let errors = answer["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    errors.iter().filter_map(|error| error["extensions"]["code"].as_str()).collect()
}

/// Good and bad comments on the same post, and each request twice, all at once at two processes: the bad ones are
/// refused, the good ones made once, and their numbers have no holes.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_write_fails_alone_and_a_repeated_one_is_made_once() {
    let world = World::new().await;
    let (people, second) = system(&world, &["ada", "bob"]).await;
    let [ada, bob] = people.as_slice() else { panic!("two people") };
    let post = ada.client.post("one").await;
    let other = ada.client.post("two").await;
    let elsewhere = bob.comment(&other, None, "elsewhere").await;
    let asked = (0..40).flat_map(|number| [(number, bob.clone()), (number, bob.at(second))]).map(|(number, bob)| {
        let parent = if number % 4 == 3 { json!(elsewhere) } else { Value::Null };
        let input = json!({ "idempotencyKey": format!("k{number}"), "postId": post, "text": format!("t{number}"),
            "parentId": parent });
        async move { (number, bob.client.ask(COMMENT, json!({ "input": input })).await) }
    });
    let mut made: BTreeSet<(usize, String)> = BTreeSet::new();
    let mut fresh = 0;
    for (number, answer) in join_all(asked).await {
        if number % 4 == 3 {
            assert_eq!(codes(&answer), ["NOT_FOUND"], "{number}: {answer}");
            continue;
        }
        let comment = &answer["data"]["createComment"];
        assert!(codes(&answer).is_empty(), "{number}: {answer}");
        fresh += usize::from(comment["replayed"] == false);
        made.insert((number, text(&comment["comment"]["id"])));
    }
    assert_eq!((made.len(), fresh), (30, 30));
    let query = "query ($id: ID!) { post(id: $id) { commentCount comments(first: 100) { nodes { text } } } }";
    let shown = bob.client.data(query, json!({ "id": post })).await;
    assert_eq!(shown["post"]["commentCount"], 30);
    assert_eq!(shown["post"]["comments"]["nodes"].as_array().map(Vec::len), Some(30));
    world.close().await;
}

/// Messages of two people to each other, who had no conversation, and to each other's posts, all at once.
#[tokio::test(flavor = "multi_thread")]
async fn messages_sent_at_once_are_numbered_without_holes() {
    let world = World::new().await;
    let (people, _) = system(&world, &["ada", "bob"]).await;
    let [ada, bob] = people.as_slice() else { panic!("two people") };
    let sent = (0..60).map(|number| {
        let (from, to) = if number % 2 == 0 { (ada, bob) } else { (bob, ada) };
        let input =
            json!({ "idempotencyKey": format!("k{number}"), "to": { "userId": to.id }, "text": "hi" });
        async move { from.client.data(MESSAGE, json!({ "input": input })).await }
    });
    let numbers: BTreeSet<i64> = join_all(sent)
        .await
        .iter()
        .map(|sent| sent["sendMessage"]["message"]["seq"].as_i64().expect("a number"))
        .collect();
    assert_eq!(numbers, (1..=60).collect());
    world.close().await;
}

/// A user who is notified, and the posts of theirs that others like and comment on.
struct Author {
    id: UserId,
    /// One to be liked, one to be commented on.
    posts: [PostId; 2],
}

impl Author {
    async fn sign_up(client: &Client, name: &str) -> Self {
        let person = client.sign_up(name).await;
        let id = UserId::parse("id", &person.id).expect("a user's id");
        let (one, two) = (person.client.post("one").await, person.client.post("two").await);
        Self { id, posts: [one, two].map(|post| PostId::parse("id", &post).expect("a post's id")) }
    }
}

/// What many do to each of these authors, drawn with a fixed seed: the same for all but the ids of the author, the
/// posts and the comments.
fn events_for(authors: &[&Author]) -> Vec<Vec<(EventId, Event)>> {
    let (clock, mut random) = (Clock::system(), StdRng::seed_from_u64(9));
    let actors: Vec<UserId> = (0..12).map(|_| UserId::make(&clock, Slot::random())).collect();
    let mut versions: BTreeMap<(usize, usize), i64> = BTreeMap::new();
    let mut events = vec![Vec::new(); authors.len()];
    for _ in 0..150 {
        clock.advance(Duration::milliseconds(1));
        let id = EventId::make(&clock, Slot::random());
        let (actor, about) = (random.random_range(0..actors.len()), random.random_range(0..4));
        let version = versions.entry((actor, about)).or_default();
        *version += 1;
        let (user, active, version) = (actors[actor], *version % 3 != 0, *version);
        for (author, events) in authors.iter().zip(&mut events) {
            let (author, [liked, commented]) = (author.id, author.posts);
            let event = match about {
                0 => Event::UserFollowed { user: author, follower: user, active, version, accepted: false },
                1 => Event::CommentCreated {
                    comment: CommentId::make(&clock, author.slot()),
                    post: commented,
                    post_author: author,
                    author: user,
                    parent_author: None,
                    mentions: vec![],
                    n: None,
                },
                _ => Event::PostLiked { post: liked, author, user, active, version },
            };
            events.push((id, event));
        }
    }
    events
}

/// Notifications that are written at once, and so together, are as if each had been written alone.
#[tokio::test(flavor = "multi_thread")]
async fn notifications_written_together_are_as_if_each_had_been_alone() {
    let world = World::new().await;
    let (app, address) = world.api().await;
    world.process(Role::Worker).await;
    let client = Client::new(address);
    let (ada, bob) = (Author::sign_up(&client, "ada").await, Author::sign_up(&client, "bob").await);
    let [alone, together] = events_for(&[&ada, &bob]).try_into().expect("two authors");
    let domain: &Domain = app.domain();
    for (id, event) in &alone {
        domain.notify(*id, event).await.expect("it is written");
    }
    let written = join_all(together.iter().map(|(id, event)| domain.notify(*id, event))).await;
    assert!(written.iter().all(Result::is_ok), "{written:?}");
    let shown = notifications(&world, &ada).await;
    assert_eq!(shown, notifications(&world, &bob).await);
    assert!(shown.len() >= 3, "{shown:?}");
    for notification in &shown {
        let actors = notification["actors"].as_array().expect("actors");
        assert_eq!(notification["actor_count"], actors.len(), "{notification}");
        assert_eq!(notification["unread_count"], shown.len(), "{notification}");
        assert_eq!(notification["is_in_slot"], true, "{notification}");
    }
    // Again, in another order: nothing is new.
    let written = join_all(together.iter().rev().map(|(id, event)| domain.notify(*id, event))).await;
    assert!(written.iter().all(Result::is_ok), "{written:?}");
    assert_eq!(shown, notifications(&world, &bob).await);
    world.close().await;
}

/// The first notifications of many people, from four processes in different orders. The rows that number their logs are
/// made by a transaction that all of them wait for.
#[tokio::test(flavor = "multi_thread")]
async fn first_notifications_that_race_are_all_counted() {
    let world = World::new().await;
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(world.process(Role::Worker).await);
    }
    let (clock, slot) = (Clock::system(), Slot::random());
    let receivers: Vec<UserId> = (0..100).map(|_| UserId::make(&clock, slot)).collect();
    let follow = |user: &UserId| {
        let follower = UserId::make(&clock, Slot::random());
        (
            EventId::make(&clock, slot),
            Event::UserFollowed { user: *user, follower, active: true, version: 1, accepted: false },
        )
    };
    let shard = world.owner(&receivers[0].to_string());
    let holder = stack::connect(&world.shard_url(shard)).await;
    let rows: Vec<String> = receivers.iter().map(|user| format!("('{}')", user.uuid())).collect();
    let made = format!("begin; insert into receivers (user_id) values {}", rows.join(", "));
    holder.execute_unprepared(&made).await.expect("they are made");
    let racing = join_all(processes.iter().enumerate().map(|(place, process)| {
        let mut events: Vec<_> = receivers.iter().map(follow).collect();
        events.rotate_left(place * 25);
        async move {
            let domain = process.domain();
            let notified = join_all(events.iter().map(|(id, event)| domain.notify(*id, event))).await;
            assert!(notified.iter().all(Result::is_ok), "{notified:?}");
        }
    }));
    let starting = async {
        let waiting =
            "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        eventually("all processes wait", async || {
            (world.rows(shard, waiting).await.len() >= 4).then_some(())
        })
        .await;
        holder.execute_unprepared("commit").await.expect("the race begins");
    };
    join(racing, starting).await;
    let sql = "select count(*) as receivers, sum(unread_count) as unread, min(n) as least, max(n) as most,
            (select sum(actor_count) from notifications) as actors from receivers";
    // Each receiver has one notification with four actors, which the log tells four times, as it does of the followers.
    let expected = json!({ "receivers": 100, "unread": 100, "least": 8, "most": 8, "actors": 400 });
    assert_eq!(world.rows(shard, sql).await, [expected]);
    holder.close().await.expect("closes");
    world.close().await;
}

/// What a person's notifications say, without the ids of the person and the posts. The times of likes and follows are
/// left out: they depend on whether an actor's first comes first.
async fn notifications(world: &World, author: &Author) -> Vec<Value> {
    let id = author.id.uuid();
    let sql = format!(
        "select n.kind, n.actor_count, n.is_read, r.unread_count,
            case when n.kind = 2 then n.created_at end::text as began,
            case when n.kind = 2 then n.updated_at end::text as at,
            slot_of(n.id) = slot_of(n.user_id) as is_in_slot,
            array(select actor_id from notification_actors where notification_id = n.id and active
                order by actor_id) as actors
        from notifications n join receivers r using (user_id) where n.user_id = '{id}' order by n.kind"
    );
    world.rows(world.owner(&author.id.to_string()), &sql).await
}
