//! Replicas: a writer sees what it wrote however far a replica is behind; what decides who sees what is
//! never read there; and one that is of no use is left out until it is again.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fowergram::app::{App, Role};
use fowergram::dev::Postgres;
use fowergram::domain::post::hashtag::Tag;
use futures_util::future::join_all;
use serde_json::json;

use crate::harness::act::ids;
use crate::harness::client::{Client, Person, text};
use crate::harness::{World, eventually, stack};

const FOLLOWERS: &str = "query ($id: ID!) { user(id: $id) { followers(first: 100) { nodes { id } } } }";
const LIKERS: &str = "query ($id: ID!) { post(id: $id) { likers(first: 100) { nodes { id } } } }";

async fn followers(client: &Client, user: &str) -> Vec<String> {
    ids(&client.data(FOLLOWERS, json!({ "id": user })).await["user"]["followers"])
}

async fn likers(client: &Client, post: &str) -> Vec<String> {
    ids(&client.data(LIKERS, json!({ "id": post })).await["post"]["likers"])
}

/// Two API processes: people write at the first and read at the second. With a limit of half a minute the
/// replica is read from however far a test lets it fall behind.
pub async fn two_processes(world: &World, changes: &[&str]) -> (App, SocketAddr, SocketAddr) {
    let (_, write_at) = world.api_with(changes).await;
    let (reader, read_at) = world.api_with(changes).await;
    world.process_with(Role::Worker, changes).await;
    remembered_for_long(world).await;
    (reader, write_at, read_at)
}

/// Redis counts as complete only when it has remembered for as long as a replica may be behind.
async fn remembered_for_long(world: &World) {
    let client =
        redis::Client::open(world.config().services.redis.redis_url.expose().as_str()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let key = format!("{}:written:since", world.config().services.namespace);
    redis::cmd("SET").arg(key).arg(1).query_async::<()>(&mut connection).await.expect("it is set");
}

pub fn replica_of(world: &World) -> &Postgres {
    world.servers().replica().expect("a replica")
}

pub async fn tell(server: &Postgres, statements: &[&str]) {
    for statement in statements {
        server.execute("postgres", statement).await.expect("the server does it");
    }
}

/// Whether a query has rows on the replica.
pub async fn replica_has(world: &World, sql: &str) -> Option<()> {
    let rows = stack::rows(&replica_of(world).url(stack::DATABASE), sql).await;
    (!rows.is_empty()).then_some(())
}

/// Has the replica replay no more.
pub async fn pause(world: &World) {
    tell(replica_of(world), &["select pg_wal_replay_pause()"]).await;
    eventually("replay has stopped", async || {
        replica_has(world, "select 1 where pg_get_wal_replay_pause_state() = 'paused'").await
    })
    .await;
}

fn is_read_from(app: &App) -> bool {
    app.domain().store.shards()[0].replicas()[0].healthy
}

pub async fn until_read_from(app: &App, wanted: bool) {
    let what = if wanted { "the replica is read from" } else { "the replica is left out" };
    eventually(what, async || (is_read_from(app) == wanted).then_some(())).await;
}

/// Follows and unfollows, likes and takes it back, and looks at each after it was answered.
async fn write_and_read(writer: &Person, read_at: SocketAddr, whom: &str, post: &str, pairs: usize) -> usize {
    let reader = writer.at(read_at).client;
    let mut stale = 0;
    for pair in 0..pairs {
        let on = pair % 4 < 2;
        let seen = if pair % 2 == 0 {
            let operation = if on { "followUser" } else { "unfollowUser" };
            let done = writer.on(&format!("{operation}(id: $id) {{ user {{ id }} }}"), whom).await;
            assert!(done["errors"].is_null(), "{done}");
            followers(&reader, whom).await
        } else {
            let operation = if on { "likePost" } else { "unlikePost" };
            let done = writer.on(&format!("{operation}(id: $id) {{ post {{ id }} }}"), post).await;
            assert!(done["errors"].is_null(), "{done}");
            likers(&reader, post).await
        };
        stale += usize::from(seen.contains(&writer.id) != on);
    }
    stale
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_sees_its_writes_while_the_replica_is_ten_seconds_behind() {
    const WRITERS: usize = 4;
    const PAIRS: usize = 1000;
    let world = World::with_replica().await;
    let (reader, write_at, read_at) = two_processes(&world, &["--shard-replica-max-lag-ms=30000"]).await;
    let client = Client::new(write_at);
    let author = world.person_on(&client, 0).await;
    let post = author.client.post("looked at").await;
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        writers.push(client.sign_up(&format!("writer{number}")).await);
    }
    until_read_from(&reader, true).await;
    eventually("the replica has the post", async || {
        replica_has(&world, &format!("select id from posts where id = '{post}'")).await
    })
    .await;
    tell(
        replica_of(&world),
        &["alter system set recovery_min_apply_delay = '10s'", "select pg_reload_conf()"],
    )
    .await;

    // A stranger sees an old list now and then: that is what a replica is for, and that it was asked.
    let (over, old) = (AtomicBool::new(false), AtomicUsize::new(0));
    let stranger = async {
        let stranger = Client::new(read_at);
        while !over.load(Ordering::Relaxed) {
            let truth =
                world.rows(0, &format!("select 1 from likes where active and post_id = '{post}'")).await;
            let seen = likers(&stranger, &post).await;
            old.fetch_add(usize::from(seen.len() != truth.len()), Ordering::Relaxed);
        }
    };
    let pairs = async {
        let pairs =
            writers.iter().map(|writer| write_and_read(writer, read_at, &author.id, &post, PAIRS / WRITERS));
        let stale: usize = join_all(pairs).await.into_iter().sum();
        over.store(true, Ordering::Relaxed);
        stale
    };
    let (stale, ()) = tokio::join!(pairs, stranger);
    println!("{stale} of {PAIRS} reads were stale; strangers saw {} old lists", old.load(Ordering::Relaxed));
    assert!(old.load(Ordering::Relaxed) > 0, "the replica was never asked");
    assert_eq!(stale, 0);

    // Once it has caught up, the writers are served by it as well: they see what it has, and no more.
    tell(replica_of(&world), &["alter system reset recovery_min_apply_delay", "select pg_reload_conf()"])
        .await;
    author.like(&post).await;
    let (writer, by) = (client.sign_up("late").await, author.at(read_at).client);
    // A consumer writes the author's side of it, which is the author's own write as well.
    eventually("the author's side is on the replica", async || {
        replica_has(&world, &format!("select 1 from liked where active and user_id = '{}'", author.id)).await
    })
    .await;
    let end = world.rows(0, "select pg_current_wal_insert_lsn()::text as lsn").await[0]["lsn"].clone();
    eventually("the replica has caught up", async || {
        replica_has(&world, &format!("select 1 where pg_last_wal_replay_lsn() >= '{}'", text(&end))).await
    })
    .await;
    pause(&world).await;
    writer.like(&post).await;
    assert!(likers(&writer.at(read_at).client, &post).await.contains(&writer.id));
    assert!(likers(&by, &post).await.contains(&author.id), "the author's own like");
    eventually("the author is served by the replica", async || {
        // A commit that could not be noted in time would keep everybody at the primary for a while.
        remembered_for_long(&world).await;
        (!likers(&by, &post).await.contains(&writer.id)).then_some(())
    })
    .await;
    tell(replica_of(&world), &["select pg_wal_replay_resume()"]).await;

    // What Redis has forgotten is not taken for « nothing written ».
    pause(&world).await;
    let other = client.sign_up("later").await;
    other.like(&post).await;
    flush(&world).await;
    assert!(likers(&other.at(read_at).client, &post).await.contains(&other.id), "Redis was flushed");
    // Nor is what could not be noted while it was away, also when it is back.
    world.servers().redis().stop().await;
    assert_eq!(write_and_read(&other, read_at, &author.id, &post, 20).await, 0, "Redis is away");
    let missed = client.sign_up("missed").await;
    missed.like(&post).await;
    world.servers().redis().start().await.expect("Redis starts");
    assert!(likers(&missed.at(read_at).client, &post).await.contains(&missed.id), "Redis is back, and empty");
    assert_eq!(write_and_read(&missed, read_at, &author.id, &post, 20).await, 0, "Redis is back");
    tell(replica_of(&world), &["select pg_wal_replay_resume()"]).await;
    world.close().await;
}

async fn flush(world: &World) {
    let client =
        redis::Client::open(world.config().services.redis.redis_url.expose().as_str()).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await.expect("it is flushed");
}

/// A hashtag whose posts are listed on this shard.
fn tag_on(app: &App, shard: usize) -> String {
    let mut names = (0..).map(|number| format!("tag{number}"));
    let lies_there =
        |name: &String| app.domain().store.owner(Tag::parse("name", name).expect("a tag").slot()) == shard;
    names.find(lies_there).expect("one of many")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_back_is_not_shown_from_an_old_copy() {
    let world = World::with_replica().await;
    let (reader, write_at, read_at) = two_processes(&world, &["--shard-replica-max-lag-ms=60000"]).await;
    let client = Client::new(write_at);
    let (author, fan) = (world.person_on(&client, 0).await, world.person_on(&client, 0).await);
    let name = tag_on(&reader, 0);
    let post = author.show(&author.media().await, &format!("of #{name}")).await;
    fan.follow(&author).await;
    let stranger = Client::new(read_at);
    let tagged =
        "query ($name: String!) { hashtag(name: $name) { posts { edges { node { id caption } } } } }";
    let listed =
        async || stranger.data(tagged, json!({ "name": name })).await["hashtag"]["posts"]["edges"].clone();
    until_read_from(&reader, true).await;
    world.settle().await;
    eventually("the replica has all of it", async || {
        replica_has(&world, "select 1 from hashtag_posts, followers where hashtag_posts.active").await
    })
    .await;
    assert_eq!(listed().await[0]["node"]["id"], json!(post));

    pause(&world).await;
    author.delete_post(&post).await;
    suspend(&world, &fan).await;
    world.settle().await;
    // The lists are the replica's old ones, and what may be seen is the primary's.
    assert_eq!(listed().await, json!([]), "a deleted post");
    let shown = stranger.data(FOLLOWERS, json!({ "id": author.id })).await;
    assert_eq!(shown["user"]["followers"]["nodes"], json!([]), "a suspended follower");
    tell(replica_of(&world), &["select pg_wal_replay_resume()"]).await;
    world.close().await;
}

async fn suspend(world: &World, person: &Person) {
    let statement = format!("update users set state = 2 where id = '{}'", person.id);
    let primary = &world.servers().postgres()[0];
    primary.execute(stack::DATABASE, &statement).await.expect("suspended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_of_no_use_is_left_out_and_comes_back() {
    let world = World::with_replica().await;
    let (reader, write_at, read_at) = two_processes(&world, &["--shard-replica-max-lag-ms=2000"]).await;
    let client = Client::new(write_at);
    let author = world.person_on(&client, 0).await;
    let post = author.client.post("looked at").await;
    let stranger = Client::new(read_at);
    let replica = replica_of(&world);
    let mut fans = Vec::new();
    let mut new_fan = async |what: &str| {
        let fan = client.sign_up(&format!("fan{}", fans.len())).await;
        fan.like(&post).await;
        assert!(likers(&stranger, &post).await.contains(&fan.id), "{what}: an old list");
        fans.push(fan);
    };
    until_read_from(&reader, true).await;

    pause(&world).await;
    author.like(&post).await;
    until_read_from(&reader, false).await;
    new_fan("too far behind").await;
    tell(replica, &["select pg_wal_replay_resume()"]).await;
    until_read_from(&reader, true).await;

    replica.stop().await;
    // Nobody has noticed yet: the first who asks is answered by the primary.
    assert_eq!(likers(&stranger, &post).await.len(), 2);
    until_read_from(&reader, false).await;
    new_fan("stopped").await;
    replica.start().await.expect("PostgreSQL starts");
    until_read_from(&reader, true).await;

    tell(replica, &["select pg_promote()"]).await;
    until_read_from(&reader, false).await;
    new_fan("promoted").await;
    world.servers().renew_replica().await.expect("a new replica");
    until_read_from(&reader, true).await;
    world.close().await;
}
