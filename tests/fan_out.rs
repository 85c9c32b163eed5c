//! From a post to the feeds of many.

use std::collections::HashMap;

use fowergram::app::Role;
use fowergram::cache::{FeedUpdate, Feeds, Rebuild};
use fowergram::model::Clock;
use fowergram::model::feed::FeedChanges;
use fowergram::model::id::{PostId, Slot, UserId};
use fowergram::model::stream::Position;
use futures_util::future::join_all;

use crate::harness::client::Client;
use crate::harness::{World, eventually};

fn users(count: usize) -> Vec<UserId> {
    (0..count).map(|_| UserId::make(&Clock::system(), Slot::random())).collect()
}

/// So many posts, the oldest first.
fn posts(count: usize) -> Vec<PostId> {
    let slot = Slot::random();
    let mut posts: Vec<PostId> = (0..count).map(|_| PostId::make(&Clock::system(), slot)).collect();
    posts.sort_unstable();
    posts
}

/// Keeps an empty feed for each.
async fn keep(feeds: &Feeds, users: &[UserId]) {
    join_all(users.iter().map(|user| async move {
        let Ok(Rebuild::Begun(generation)) = feeds.begin(*user).await else { panic!("it begins") };
        assert!(feeds.finish(*user, generation, &[]).await.expect("it ends"));
    }))
    .await;
}

fn adds(readers: &[UserId], added: &[PostId]) -> Vec<FeedUpdate> {
    let update = |reader: &UserId| FeedUpdate { reader: *reader, added: added.to_vec(), removed: vec![] };
    readers.iter().map(update).collect()
}

/// A feed's posts, the oldest first.
async fn kept(feeds: &Feeds, user: UserId) -> Option<Vec<PostId>> {
    let skeleton = feeds.read(user, None, 10_000).await.expect("reads")?;
    Some(skeleton.posts.into_iter().rev().collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_feed_is_changed_once_and_those_listened_to_are_told_of() {
    let world = World::new().await;
    let (app, _) = world.api().await;
    app.domain().bus.ensure_streams().await.expect("streams");
    let feeds = &app.domain().feeds;
    let (readers, strangers, posts) = (users(300), users(3), posts(5));
    keep(feeds, &readers).await;
    let (ear, start) = (readers[7], feeds.position(readers[7]).await.expect("reads").expect("a feed"));
    feeds.listen(&[ear]).await.expect("listens");

    let both = [readers.clone(), strangers.clone()].concat();
    let told = feeds.update(&adds(&both, &posts[..2])).await.expect("updates");
    assert_eq!(told, [(ear, Position { n: 2, ..start })]);
    // Again, with others among them: only these are new.
    let told = feeds.update(&adds(&both, &posts)).await.expect("updates");
    assert_eq!(told, [(ear, Position { n: 5, ..start })]);
    assert_eq!(feeds.update(&adds(&both, &posts)).await.expect("updates"), []);
    for reader in &readers {
        assert_eq!(kept(feeds, *reader).await.as_ref(), Some(&posts));
        assert_eq!(feeds.position(*reader).await.expect("reads").map(|position| position.n), Some(5));
    }
    for stranger in strangers {
        assert_eq!(kept(feeds, stranger).await, None, "who does not read has no feed");
    }

    // What goes is logged behind what came, and only where it was.
    let removed = vec![posts[1], posts[3], PostId::make(&Clock::system(), Slot::random())];
    let update = FeedUpdate { reader: ear, added: vec![], removed };
    for told in [vec![(ear, Position { n: 7, ..start })], vec![]] {
        assert_eq!(feeds.update(std::slice::from_ref(&update)).await.expect("updates"), told);
    }
    let FeedChanges::Changes(log) = feeds.changes(ear, start, 100).await.expect("reads") else {
        panic!("a gap")
    };
    let log: Vec<_> = log.iter().map(|change| (change.n, change.post, change.removed)).collect();
    let added = (1..).zip(&posts).map(|(n, post)| (n, *post, false));
    let gone = [(6, posts[1], true), (7, posts[3], true)];
    assert_eq!(log, added.chain(gone).collect::<Vec<_>>());
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_and_its_log_are_bounded() {
    let world = World::new().await;
    let (app, _) = world.api().await;
    app.domain().bus.ensure_streams().await.expect("streams");
    let feeds = &app.domain().feeds;
    let (reader, posts) = (users(1), posts(2_000));
    keep(feeds, &reader).await;
    let start = feeds.position(reader[0]).await.expect("reads").expect("a feed");
    for posts in posts.chunks(7) {
        feeds.update(&adds(&reader, posts)).await.expect("updates");
    }
    // More than one script takes.
    let more = self::posts(1_000);
    feeds.update(&adds(&reader, &more)).await.expect("updates");
    let left = kept(feeds, reader[0]).await.expect("a feed");
    assert!((800..=816).contains(&left.len()), "{} posts", left.len());
    assert_eq!(left, more[more.len() - left.len()..]);
    assert!(matches!(feeds.changes(reader[0], start, 10).await, Ok(FeedChanges::Gap(now)) if now.n == 3_000));
    let recent = Position { n: 2_600, ..start };
    assert!(matches!(feeds.changes(reader[0], recent, 10).await, Ok(FeedChanges::Changes(_))));
    let old = Position { n: 3_000 - 517, ..start };
    assert!(matches!(feeds.changes(reader[0], old, 10).await, Ok(FeedChanges::Gap(_))));
    world.close().await;
}

/// More followers than are taken at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_reaches_all_of_many_followers() {
    let world = World::new().await;
    let (app, address) = world.api().await;
    world.process(Role::Worker).await;
    let ada = world.person_on(&Client::new(address), 0).await;
    let (picture, second) = (ada.media().await, ada.media().await);
    let followers = users(2_345);
    keep(&app.domain().feeds, &followers).await;
    // Many of them since the same moment.
    let rows = followers.iter().enumerate().map(|(number, follower)| {
        format!("('{}', '{follower}', true, 1, now() - interval '{} seconds')", ada.id, number / 1_100)
    });
    let sql = "insert into followers (user_id, follower_id, active, version, changed_at) values ";
    let rows = rows.collect::<Vec<_>>().join(",");
    world.execute(app.domain().store.owner(ada.user_id().slot()), &format!("{sql}{rows}")).await;

    let feeds = &app.domain().feeds;
    let all_have = async |posts: &[PostId]| {
        eventually("all feeds are complete", async || {
            let kept = join_all(followers.iter().map(|follower| kept(feeds, *follower))).await;
            kept.iter().all(|kept| kept.as_deref() == Some(posts)).then_some(())
        })
        .await;
    };
    let id = |post: &str| PostId::parse("id", post).expect("an id");
    let first = id(&ada.show(&picture, "to all").await);
    all_have(&[first]).await;
    let next = id(&ada.show(&second, "and again").await);
    all_have(&[first, next]).await;
    ada.delete_post(&first.to_string()).await;
    all_have(&[next]).await;

    let positions = join_all(followers.iter().map(|follower| feeds.position(*follower))).await;
    let mut numbers: HashMap<Option<i64>, usize> = HashMap::new();
    for position in positions {
        *numbers.entry(position.expect("reads").map(|position| position.n)).or_default() += 1;
    }
    assert_eq!(numbers, HashMap::from([(Some(3), followers.len())]), "nobody was told twice");
    world.close().await;
}
