//! The doctor finds what is wrong, all of it and nothing else, and mends it.

mod crowd;
mod events;
mod faults;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fowergram::app::{App, Role};
use fowergram::doctor::{self, Check, Options};
use fowergram::domain::media::variant_key;
use fowergram::model::id::{MediaId, Slot};
use futures_util::future::{join, join_all};
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

#[cfg(target_os = "linux")]
use crate::harness::binary::Running;
use crate::harness::binary::{Ended, run_within};
use crate::harness::client::{Client, Person, text};
use crate::harness::{SHARDS, World};
use crate::outage::{circle, drained, everywhere, live_a_little};

/// (check, id)
type Named = BTreeSet<(String, String)>;

/// How long a run over a million rows may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// One run of the command; the exit code and what it says.
async fn doctor(world: &World, arguments: &[&str]) -> (Option<i32>, Value) {
    let is_graced = arguments.iter().any(|argument| argument.starts_with("--grace"));
    let grace: &[&str] = if is_graced { &[] } else { &["--grace=0"] };
    let ended = command(world, &[&["--json"], grace, arguments].concat()).await;
    let report = serde_json::from_str(&ended.output).unwrap_or_else(|_| panic!("{ended:?}"));
    (ended.code, report)
}

async fn command(world: &World, arguments: &[&str]) -> Ended {
    let mut all: Vec<String> = ["doctor", "--log=off"].map(str::to_owned).into();
    all.extend(world.settings_with(arguments));
    run_within(PATIENCE, &all, &[]).await
}

fn lines(report: &Value) -> &Vec<Value> {
    report["lines"].as_array().expect("lines")
}

fn sum(report: &Value, column: &str) -> u64 {
    lines(report).iter().filter_map(|line| line[column].as_u64()).sum()
}

/// All faults of a report.
fn named(report: &Value) -> Named {
    let of_line = |line: &Value| {
        let faults = line["faults"].as_array().expect("faults").clone();
        let check = text(&line["check"]);
        faults.into_iter().map(move |fault| (check.clone(), text(&fault["id"])))
    };
    lines(report).iter().flat_map(of_line).collect()
}

/// Nothing is found, and all is looked at.
async fn is_well(world: &World) {
    let (code, report) = doctor(world, &[]).await;
    assert_eq!((named(&report), code), (Named::new(), Some(0)), "{report:#}");
    assert!(lines(&report).iter().all(|line| line["unseen"] == json!([])), "{report:#}");
}

/// Exactly these are found, and then mended.
async fn finds_and_mends(world: &World, planted: &Named) {
    let (code, report) = doctor(world, &[]).await;
    assert_eq!((&named(&report), code), (planted, Some(1)), "{report:#}");
    assert_eq!((sum(&report, "found"), sum(&report, "mended")), (planted.len() as u64, 0));
    let (code, report) = doctor(world, &["--fix"]).await;
    assert_eq!((&named(&report), code), (planted, Some(0)), "{report:#}");
    assert_eq!(sum(&report, "mended"), planted.len() as u64);
    is_well(world).await;
}

/// A system in which much has happened, and nothing does now.
struct Settled {
    app: App,
    worker: App,
    /// One on each shard.
    people: Vec<Person>,
    posts: Vec<String>,
}

async fn settled(world: &World) -> Settled {
    let (app, address) = world.api().await;
    let worker = world.process(Role::Worker).await;
    let people = circle(world, &Client::new(address)).await;
    let posts = live_a_little(&people).await;
    drained(world).await;
    Settled { app, worker, people, posts }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settled_system_is_well() {
    let world = World::new().await;
    let Settled { people, posts, .. } = settled(&world).await;
    people[2].delete_post(&posts[2]).await;
    let avatar = people[0].media().await;
    let update = "mutation ($id: ID!) { updateProfile(input: { avatarId: $id, username: \"renamed\" }) { user { id } } }";
    people[0].client.data(update, json!({ "id": avatar })).await;
    drained(&world).await;
    is_well(&world).await;

    let ended = command(&world, &["--grace=0", "--only=counters,follows"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let shown: Vec<&str> = ended.output.lines().collect();
    assert!(shown[0].trim_start().starts_with("check"), "{shown:#?}");
    assert_eq!(shown.iter().filter(|line| line.contains("users.post_count")).count(), SHARDS);
    assert!(shown.iter().any(|line| line.contains("following")) && !ended.output.contains("outbox"));
    assert!(shown.last().is_some_and(|line| line.ends_with(" rows, 0 faults, 0 mended")), "{shown:#?}");
    let told = |line: &String| line.starts_with("users.post_count ") && line.ends_with(" s");
    assert!(ended.told.iter().any(told), "{ended:?}");
    let ended = command(&world, &["--only=nonsense"]).await;
    assert_eq!(ended.code, Some(2));
    assert!(ended.told[0].contains("the checks are schema, outbox, "), "{ended:?}");
    world.close().await;
}

/// What a row of the crowd is found by, and what is done to it.
const PLANTED: [(&str, &str, &str); 15] = [
    (
        "users.post_count",
        "select id from users where username = 'crowd10'",
        "update users set post_count = post_count + 1 where id = '{id}'",
    ),
    (
        "users.follower_count",
        "select id from users where username = 'crowd20'",
        "update users set follower_count = 0 where id = '{id}'",
    ),
    (
        "users.following_count",
        "select id from users where username = 'crowd30'",
        "update users set following_count = 10 where id = '{id}'",
    ),
    (
        "posts.like_count",
        "select p.id from posts p join users u on u.id = author_id where username = 'crowd40'",
        "update posts set like_count = 2 where id = '{id}'",
    ),
    (
        "posts.comment_count",
        "select p.id from posts p join users u on u.id = author_id where username = 'crowd52'",
        "update posts set comment_count = 0 where id = '{id}'",
    ),
    (
        "comments.reply_count",
        "select c.id from comments c join posts p on p.id = post_id join users u on u.id = p.author_id
            where username = 'crowd56'",
        "update comments set reply_count = 3 where id = '{id}'",
    ),
    (
        "hashtags.post_count",
        "select name as id from hashtags where name = 'crowd5'",
        "update hashtags set post_count = post_count - 1 where name = '{id}'",
    ),
    (
        "notifications.actor_count",
        "select n.id from notifications n join users u on u.id = user_id where username = 'crowd60'",
        "update notifications set actor_count = 4 where id = '{id}'",
    ),
    (
        "receivers.unread_count",
        "select user_id as id from receivers join users on id = user_id where username = 'crowd70'",
        "update receivers set unread_count = 0 where user_id = '{id}'",
    ),
    (
        "conversations.seq",
        "select id from conversations where kind = 2",
        "update conversations set seq = seq + 1 where id = '{id}'",
    ),
    (
        "conversations.change",
        "select id from conversations where kind = 0 order by id limit 1",
        "update conversations set change = change + 3 where id = '{id}'",
    ),
    (
        "inbox",
        "select user_id || ' ' || conversation_id as id from inbox order by 1 limit 1",
        "update inbox set last_seq = last_seq - 1 where user_id || ' ' || conversation_id = '{id}'",
    ),
    (
        "following",
        "select user_id || ' ' || followee_id as id from following join users on id = user_id
            where username = 'crowd80' order by 1 limit 1",
        "delete from following where user_id || ' ' || followee_id = '{id}';
            update users set following_count = following_count - 1 where username = 'crowd80'",
    ),
    (
        "liked",
        "select user_id || ' ' || post_id as id from liked join users on id = user_id
            where username = 'crowd90' order by 1 limit 1",
        "update liked set active = false where user_id || ' ' || post_id = '{id}'",
    ),
    (
        "hashtag_posts",
        "select name || ' ' || post_id as id from hashtag_posts where name = 'crowd7' order by 1 limit 1",
        "update hashtag_posts set active = false where name || ' ' || post_id = '{id}';
            update hashtags set post_count = post_count - 1 where name = 'crowd7'",
    ),
];

/// The first row that a query finds on any shard: the shard, and its id.
async fn find(world: &World, sql: &str) -> (usize, String) {
    for shard in 0..SHARDS {
        if let Some(row) = world.rows(shard, sql).await.first() {
            return (shard, text(&row["id"]));
        }
    }
    panic!("nothing is found by {sql}");
}

async fn plant(world: &World, faults: &[(&str, &str, &str)]) -> Named {
    let mut planted = Named::new();
    for (check, query, change) in faults {
        let (shard, id) = find(world, query).await;
        world.execute(shard, &change.replace("{id}", &id)).await;
        planted.insert(((*check).to_owned(), id));
    }
    planted
}

/// Five more, which are not a change of one row.
async fn plant_others(world: &World, app: &App) -> Named {
    let mut planted = Named::new();
    let mut add = |check: &str, id: String| planted.insert((check.to_owned(), id));
    // Nobody claims the new name, and nobody has the one that is claimed.
    let (shard, _) = find(world, "select id from users where username = 'crowd100'").await;
    world.execute(shard, "update users set username = 'Unclaimed' where username = 'crowd100'").await;
    add("names", "username:unclaimed".to_owned());
    add("claims", "username:crowd100".to_owned());
    // An image without its file, and a file without its image.
    let blob = &app.domain().blob;
    let (_, id) = find(world, "select id from media where state = 2 order by id limit 1").await;
    let lost = MediaId::parse("id", &id).expect("a media's id");
    let objects = blob.list("", None, 1_000).await.expect("the storage answers");
    let keys: Vec<String> =
        objects.into_iter().map(|object| object.key).filter(|key| key.contains(&id)).collect();
    assert_eq!(keys.len(), 1, "a small picture has one size");
    blob.delete(&keys).await.expect("the storage answers");
    add("media", lost.to_string());
    let nobody = MediaId::make(&world.clock, Slot::new(77).expect("a slot"));
    let key = variant_key(nobody, 320);
    blob.put(&key, "image/webp", Bytes::from_static(b"none")).await.expect("the storage answers");
    add("media", key);
    // A second copy of a row, where nobody looks for it.
    let (shard, id) = find(world, "select id from users where username = 'crowd110'").await;
    let row = &world.rows(shard, "select * from users where username = 'crowd110'").await[0];
    let insert = format!("insert into users select * from jsonb_populate_record(null::users, '{row}')");
    world.execute((shard + 1) % SHARDS, &insert).await;
    add("placement", format!("users {id}"));
    planted
}

/// Sums over all rows of all tables, without what a mend changes by right.
async fn sums(world: &World, given_up: &str) -> Vec<Value> {
    let mut sums = Vec::new();
    for table in world.rows(0, "select table_name as name from sharded_tables order by 1").await {
        let name = text(&table["name"]);
        let (row, rows) = match name.as_str() {
            // What went out of the mirror and came back did so now.
            "following" | "liked" => {
                ("t.user_id::text || (to_jsonb(t) - 'changed_at')::text", "true".to_owned())
            }
            "conversations" | "messages" => ("(to_jsonb(t) - 'change')::text", "true".to_owned()),
            "media" => ("t::text", format!("id <> '{given_up}'")),
            "users" => ("t::text", "username not in ('crowd100', 'Unclaimed')".to_owned()),
            "claims" => ("t::text", "name not in ('crowd100', 'unclaimed')".to_owned()),
            // Reading changes sessions.
            "sessions" => continue,
            _ => ("t::text", "true".to_owned()),
        };
        let sql = format!(
            "select '{name}' as name, count(*) as n, sum(hashtext({row})::bigint) as sum from {name} t where {rows}"
        );
        for shard in 0..SHARDS {
            sums.extend(world.rows(shard, &sql).await);
        }
    }
    sums
}

/// What a run takes, whatever the tables have, in bytes.
#[cfg(target_os = "linux")]
const MEMORY: u64 = 150 * 1024 * 1024;

/// The most memory that a run holds, in bytes.
#[cfg(target_os = "linux")]
async fn most_memory(world: &World) -> u64 {
    let settings = [&["--log=off".to_owned(), "--grace=0".to_owned()], world.settings()].concat();
    let mut running = Running::start("doctor", &settings);
    let (mut most, start) = (0, Instant::now());
    while let Some(held) = running.high_water() {
        most = most.max(held);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(running.ended().await.success());
    println!("a run takes {:?} and {} MiB", start.elapsed(), most >> 20);
    most
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_faults_among_a_million_rows() {
    const PEOPLE: usize = 44_000;
    let world = World::new().await;
    let Settled { app, .. } = settled(&world).await;
    crowd::gather(&world, PEOPLE).await;
    let rows = crowd::rows(&world).await;
    assert!(rows > 1_000_000, "{rows} rows");
    is_well(&world).await;

    #[cfg(target_os = "linux")]
    assert!(most_memory(&world).await < MEMORY);
    let (_, lost) = find(&world, "select id from media where state = 2 order by id limit 1").await;
    let before = sums(&world, &lost).await;
    let mut planted = plant(&world, &PLANTED).await;
    planted.extend(plant_others(&world, &app).await);
    assert_eq!(planted.len(), 20);
    let start = Instant::now();
    finds_and_mends(&world, &planted).await;
    println!("three runs over {rows} rows: {:?}", start.elapsed());
    assert_eq!(sums(&world, &lost).await, before);
    world.close().await;
}

/// Likes, unlikes, follows and unfollows in bursts, until told to stop.
async fn write_on(
    people: &[Person],
    posts: &[String],
    writer: usize,
    stop: &std::sync::atomic::AtomicBool,
) -> usize {
    let mut random = rand::rngs::StdRng::seed_from_u64(writer as u64);
    let (person, mut written) = (&people[writer], 0);
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        for _ in 0..20 {
            let post = &posts[random.random_range(0..posts.len())];
            let other = &people[(writer + random.random_range(1..people.len())) % people.len()];
            let (operation, id) = match random.random_range(0..4) {
                0 => ("likePost(id: $id) { post { id } }", post),
                1 => ("unlikePost(id: $id) { post { id } }", post),
                2 => ("followUser(id: $id) { user { id } }", &other.id),
                _ => ("unfollowUser(id: $id) { user { id } }", &other.id),
            };
            let answer = person.on(operation, id).await;
            assert!(answer["errors"].is_null(), "{answer}");
            written += 1;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
    }
    written
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_just_being_written_is_no_fault() {
    const RUNS: usize = 30;
    let world = World::new().await;
    let Settled { app, people, posts, .. } = settled(&world).await;
    let options = Options { checks: Check::ALL.to_vec(), fix: false, grace: time::Duration::seconds(10) };
    let stop = std::sync::atomic::AtomicBool::new(false);
    let write = join_all((0..people.len()).map(|writer| write_on(&people, &posts, writer, &stop)));
    let look = async {
        for run in 0..RUNS {
            // Half of the runs mend what they find: nothing, or the writers are in for it.
            let options = Options { fix: run % 2 == 1, ..options.clone() };
            let report = doctor::run(app.domain(), &options).await;
            let found: Vec<_> = report.lines.iter().filter(|line| line.found > 0).collect();
            assert!(found.is_empty() && report.is_complete(), "{found:#?}");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let (written, ()) = join(write, look).await;
    println!("{written:?} writes while the doctor looked {RUNS} times");
    assert!(written.iter().sum::<usize>() > RUNS);
    drained(&world).await;
    is_well(&world).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_is_away_is_told_and_the_others_are_looked_at() {
    let world = World::alone().await;
    let Settled { app, people, .. } = settled(&world).await;
    // Somebody on another shard has a wrong counter.
    let dead = 2;
    let home = |person: &&Person| app.domain().store.owner(person.user_id().slot());
    let other = people.iter().find(|person| home(person) != dead).expect("four shards");
    world.execute(home(&other), &format!("update users set post_count = 9 where id = '{}'", other.id)).await;
    let users = everywhere(&world, "select id from users").await.len();
    let away = world.rows(dead, "select id from users").await.len();
    world.servers().postgres()[dead].stop().await;
    let (code, report) = doctor(&world, &[]).await;
    assert_eq!(code, Some(2), "{report:#}");
    assert_eq!(named(&report), Named::from([("users.post_count".to_owned(), other.id.clone())]));
    for line in lines(&report) {
        let (check, is_dead) = (text(&line["check"]), line["shard"] == format!("s{dead}"));
        let unseen = line["unseen"].as_array().expect("a list");
        if is_dead {
            assert_eq!(unseen, &[json!(format!("s{dead} does not answer"))], "{line}");
        } else if check.contains('.') || check == "placement" || check == "schema" {
            assert_eq!(unseen, &[] as &[Value], "{line}");
        }
    }
    let looked = |check: &str| {
        let of_check = lines(&report).iter().filter(|line| line["check"] == check);
        of_check.filter_map(|line| line["looked"].as_u64()).sum::<u64>()
    };
    assert_eq!(looked("users.post_count"), (users - away) as u64);
    assert!(looked("following") > 0 && looked("inbox") > 0 && looked("placement") > 0);

    let (code, report) = doctor(&world, &["--fix"]).await;
    assert_eq!((code, sum(&report, "mended")), (Some(2), 1), "{report:#}");
    world.servers().postgres()[dead].start().await.expect("PostgreSQL starts");
    is_well(&world).await;
    world.close().await;
}
