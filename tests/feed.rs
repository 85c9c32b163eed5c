//! The feed: a cache over the shards that may go at any time.

use std::collections::BTreeSet;
use std::time::Duration;

use fowergram::app::{App, Role};
use fowergram::cache::Rebuild;
use fowergram::live::{Topic, cursor};
use fowergram::model::id::PostId;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::act::ids;
use crate::harness::client::{Client, Person, Socket, text};
use crate::harness::{World, eventually};

const UPDATES: &str =
    "subscription ($after: Cursor) { feedUpdated(after: $after) { __typename cursor replayed
    ... on FeedEvent { post { id } removedId } ... on StreamGap { reason resumeFrom } } }";

/// An API process and a worker; Bob, who follows Ada, and Ada.
async fn system(world: &World) -> (App, Person, Person) {
    let (app, address) = world.api().await;
    world.process(Role::Worker).await;
    let client = Client::new(address);
    let people = world.people_on_different_shards(&client, 2).await;
    let [ada, bob] = people.try_into().unwrap_or_else(|_| panic!("two people"));
    bob.follow(&ada).await;
    eventually("Bob's shard knows whom he follows", async || {
        let data = bob.client.data("{ viewer { user { followingCount } } }", json!({})).await;
        (data["viewer"]["user"]["followingCount"] == 1).then_some(())
    })
    .await;
    (app, ada, bob)
}

/// So many posts, the newest first.
async fn posts(author: &Person, count: usize) -> Vec<String> {
    let mut posts = join_all((0..count).map(|number| async move {
        let media = author.media().await;
        author.show(&media, &format!("number {number}")).await
    }))
    .await;
    posts.sort();
    posts.reverse();
    posts
}

async fn has(reader: &Person, posts: &[String]) {
    eventually("the feed is complete", async || (reader.feed().await == posts).then_some(())).await;
}

fn post(id: &str) -> PostId {
    PostId::parse("id", id).expect("an id")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_is_paged_and_comes_back_when_it_is_lost() {
    let world = World::new().await;
    let (app, ada, bob) = system(&world).await;
    let (mut all, own) = tokio::join!(posts(&ada, 40), posts(&bob, 20));
    all.extend(own);
    all.sort();
    all.reverse();
    has(&bob, &all).await;

    // 60 posts by 7, while new ones come in front.
    let (mut read, mut after) = (Vec::new(), None);
    loop {
        let page = bob.feed_page(7, after.as_deref()).await;
        assert_eq!((&page["degraded"], &page["rebuilding"]), (&json!(false), &json!(false)));
        read.extend(ids(&page));
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        if after.is_none() {
            posts(&ada, 1).await;
        }
        after = Some(text(&page["pageInfo"]["endCursor"]));
    }
    assert_eq!(read, all);

    // Lost, it is built anew; also when many ask at once, and between two pages.
    eventually("the new one is in it", async || (bob.feed().await.len() == 61).then_some(())).await;
    let all = bob.feed().await;
    for _ in 0..3 {
        app.domain().feeds.clear().await.expect("clears");
        for page in join_all((0..8).map(|_| bob.feed_page(100, None))).await {
            assert_eq!((ids(&page), &page["degraded"]), (all.clone(), &json!(false)));
        }
    }
    let first = bob.feed_page(30, None).await;
    app.domain().feeds.clear().await.expect("clears");
    let second = bob.feed_page(100, first["pageInfo"]["endCursor"].as_str()).await;
    assert_eq!([ids(&first), ids(&second)].concat(), all);
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_while_a_feed_is_built_is_not_lost() {
    let world = World::new().await;
    let (app, ada, bob) = system(&world).await;
    let old = posts(&ada, 3).await;
    has(&bob, &old).await;
    let feeds = &app.domain().feeds;

    // Made ready before: a rebuild that takes long is given up.
    let picture = ada.media().await;
    // Stopped between its two steps: it has read the rows, and has not written the feed.
    feeds.clear().await.expect("clears");
    let Ok(Rebuild::Begun(generation)) = feeds.begin(bob.user_id()).await else { panic!("it begins") };
    let new = [ada.show(&picture, "meanwhile").await];
    ada.delete_post(&old[0]).await;
    world.settle().await;
    eventually("both events have arrived", async || {
        let (there, gone) = (post(&new[0]), post(&old[0]));
        let feed = feeds.read(bob.user_id(), None, 10).await.expect("reads").expect("a feed");
        let position = feeds.position(bob.user_id()).await.expect("reads").expect("a feed");
        assert!(feed.rebuilding);
        (feed.posts.contains(&there) && !feed.posts.contains(&gone) && position.n == 2).then_some(())
    })
    .await;
    let read_before: Vec<PostId> = old.iter().map(|id| post(id)).collect();
    assert!(feeds.finish(bob.user_id(), generation, &read_before).await.expect("finishes"));
    let wanted = [&new[..], &old[1..]].concat();
    // In the cache itself: a reader would not be shown a deleted post that is left there.
    let kept = feeds.read(bob.user_id(), None, 10).await.expect("reads").expect("a feed").posts;
    assert!(kept.iter().map(ToString::to_string).eq(wanted.iter().cloned()), "{kept:?}");
    assert_eq!(bob.feed().await, wanted);

    // The same in a race.
    let mut all: BTreeSet<String> = bob.feed().await.into_iter().collect();
    for number in 0..10 {
        let media = ada.media().await;
        feeds.clear().await.expect("clears");
        let caption = number.to_string();
        let (id, _) = tokio::join!(ada.show(&media, &caption), bob.feed());
        all.insert(id);
        let wanted: Vec<String> = all.iter().rev().cloned().collect();
        has(&bob, &wanted).await;
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_shows_whom_one_follows() {
    let world = World::new().await;
    let (_, ada, bob) = system(&world).await;
    let posts = posts(&ada, 2).await;
    has(&bob, &posts).await;
    bob.unfollow(&ada).await;
    has(&bob, &[]).await;
    bob.follow(&ada).await;
    has(&bob, &posts).await;
    ada.delete_post(&posts[0]).await;
    assert_eq!(bob.feed().await, posts[1..]);
    has(&ada, &posts[1..]).await;
    world.close().await;
}

async fn next(socket: &mut Socket) -> Value {
    socket.event().await["feedUpdated"].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_is_told_live() {
    let world = World::new().await;
    let (app, ada, bob) = system(&world).await;
    // From where the feed stands, so that nothing is missed before the subscription is in force.
    has(&bob, &[]).await;
    let position = app.domain().feeds.position(bob.user_id()).await.expect("reads").expect("a feed");
    let start = cursor::encode(Topic::Feed(bob.user_id()), position);
    let mut socket = bob.client.socket().await;
    socket.subscribe(UPDATES, json!({ "after": start })).await;
    let first = posts(&ada, 1).await.remove(0);
    assert_eq!(next(&mut socket).await["post"]["id"], json!(first));
    ada.delete_post(&first).await;
    let event = next(&mut socket).await;
    assert_eq!((&event["removedId"], &event["post"]), (&json!(first), &Value::Null));
    assert_eq!(event["replayed"], false);
    let cursor = text(&event["cursor"]);
    // Read while it is empty, it stays the same feed.
    has(&bob, &[]).await;
    socket.cut();

    // What came meanwhile comes first, once and in order.
    let mut missed = Vec::new();
    for _ in 0..3 {
        missed.extend(posts(&ada, 1).await);
        let wanted: Vec<String> = missed.iter().rev().cloned().collect();
        has(&bob, &wanted).await;
    }
    let mut socket = bob.client.socket().await;
    socket.subscribe(UPDATES, json!({ "after": cursor })).await;
    for id in &missed {
        let event = next(&mut socket).await;
        assert_eq!((&event["post"]["id"], &event["replayed"]), (&json!(id), &json!(true)));
    }
    let live = posts(&ada, 1).await.remove(0);
    let event = next(&mut socket).await;
    assert_eq!((&event["post"]["id"], &event["replayed"]), (&json!(live), &json!(false)));

    // The history is lost with the cache, and that is said: to who listens and to who comes back.
    app.domain().feeds.clear().await.expect("clears");
    assert_eq!(bob.feed().await.len(), 4);
    let gap = next(&mut socket).await;
    assert_eq!((&gap["__typename"], &gap["reason"]), (&json!("StreamGap"), &json!("STREAM_GAP")));
    let mut back = bob.client.socket().await;
    back.subscribe(UPDATES, json!({ "after": cursor })).await;
    let gap = next(&mut back).await;
    assert_eq!(gap["__typename"], "StreamGap");
    back.cut();
    let mut back = bob.client.socket().await;
    back.subscribe(UPDATES, json!({ "after": gap["resumeFrom"] })).await;
    let newest = posts(&ada, 1).await.remove(0);
    for socket in [&mut socket, &mut back] {
        let event = next(socket).await;
        assert_eq!(event["post"]["id"], json!(newest), "{event}");
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_is_read_without_redis() {
    let world = World::alone().await;
    let (_, ada, bob) = system(&world).await;
    let mut all = posts(&ada, 9).await;
    has(&bob, &all).await;
    let redis = world.servers().redis();

    // Restarted, it has nothing, and the feed is the same at once or as soon as it is connected again.
    redis.stop().await;
    redis.start().await.expect("Redis starts");
    assert_eq!(bob.feed().await, all);
    eventually("the cache is in use again", async || {
        let page = bob.feed_page(100, None).await;
        assert_eq!(ids(&page), all);
        (page["degraded"] == false).then_some(())
    })
    .await;

    redis.stop().await;
    for _ in 0..3 {
        let page = bob.feed_page(100, None).await;
        assert_eq!((ids(&page), &page["degraded"]), (all.clone(), &json!(true)));
    }
    let first = bob.feed_page(4, None).await;
    let second = bob.feed_page(100, first["pageInfo"]["endCursor"].as_str()).await;
    assert_eq!([ids(&first), ids(&second)].concat(), all);
    all.splice(0..0, posts(&ada, 1).await);
    assert_eq!(bob.feed().await, all);
    redis.start().await.expect("Redis starts");
    eventually("the cache is in use again", async || {
        let page = bob.feed_page(100, None).await;
        assert_eq!(ids(&page), all);
        (page["degraded"] == false).then_some(())
    })
    .await;
    // The fan-out that could not be done is done again.
    all.splice(0..0, posts(&ada, 1).await);
    has(&bob, &all).await;
    world.close().await;
}

/// Whoever listens to a feed need not wait for the next comparison of counters.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follow_wakes_those_who_listen_to_the_feed() {
    let world = World::new().await;
    let client = world.system().await;
    let (ada, bob) = (client.sign_up("ada").await, client.sign_up("bob").await);
    let nats = async_nats::connect(world.servers().nats().url()).await.expect("NATS answers");
    let namespace = world.config().services.namespace;
    let subject = format!("{}.live.feed.{}", namespace.as_str(), ada.id);
    let mut signals = nats.subscribe(subject).await.expect("subscribed");
    nats.flush().await.expect("it is in force");
    ada.follow(&bob).await;
    let signal = tokio::time::timeout(Duration::from_mins(1), signals.next()).await;
    assert!(signal.expect("it comes").is_some());
    world.close().await;
}
