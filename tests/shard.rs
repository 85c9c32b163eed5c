//! The rows are where they belong.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};

use fowergram::app::Role;
use fowergram::model::id::{self, SLOTS, Slot, UserId};
use fowergram::store::user::{self, Counter};
use futures_util::future::join_all;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::Barrier;

use crate::harness::binary::run;
use crate::harness::client::{Person, text};
use crate::harness::{SHARDS, World};

/// Tables that belong to a shard and not to a slot.
const OF_THE_SHARD: [&str; 5] = ["outbox", "shard_map", "sharded_tables", "seaql_migrations", "backfills"];

fn number(value: &Value) -> u16 {
    u16::try_from(value.as_i64().expect("a number")).expect("a slot")
}

/// The owner of each slot, as the map in a database says; an index into the shards.
async fn owners(world: &World, shard: usize) -> Vec<usize> {
    let rows = world.rows(shard, "select ranges from shard_map order by epoch desc limit 1").await;
    let mut owners = vec![usize::MAX; usize::from(SLOTS)];
    for range in rows[0]["ranges"].as_array().expect("ranges") {
        let name = text(&range["shard"]);
        let owner = name.strip_prefix('s').and_then(|index| index.parse().ok()).expect("a shard's name");
        owners[usize::from(number(&range["from"]))..=usize::from(number(&range["to"]))].fill(owner);
    }
    assert!(!owners.contains(&usize::MAX));
    owners
}

/// Everybody posts, does something with the post of the next one and of the one after, and asks to follow somebody.
async fn live_a_little(people: &[Person]) {
    let posts = join_all(people.iter().map(|person| async move {
        let media = person.media().await;
        person.show(&media, &format!("A #shard for @{}", person.username)).await
    }))
    .await;
    let near = |index: usize, by: usize| (index + by) % people.len();
    join_all(people.iter().enumerate().map(|(index, person)| {
        let (next, other) = (near(index, 1), near(index, 2));
        let posts = &posts;
        async move {
            person.follow(&people[next]).await;
            person.follow(&people[other]).await;
            person.like(&posts[next]).await;
            let comment = person.comment(&posts[next], None, "near").await;
            people[other].comment(&posts[next], Some(&comment), "nearer").await;
            let (thread, _) = person.write(json!({ "postId": posts[other] }), "in the thread").await;
            person.react_to_last(&thread).await;
            person.write(json!({ "userId": people[next].id }), "direct").await;
        }
    }))
    .await;
    join_all(people.iter().enumerate().map(|(index, person)| async move {
        person.set_private(true).await;
        people[near(index, 3)].follow(person).await;
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_lies_in_the_shard_that_owns_its_slot() {
    let world = World::new().await;
    let client = world.system().await;
    let mut people = Vec::new();
    for number in 0..40 {
        people.push(client.sign_up(&format!("person{number}")).await);
    }
    live_a_little(&people).await;
    world.settle().await;

    let owners = owners(&world, 0).await;
    let mut filled: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for shard in 0..SHARDS {
        for table in world.rows(shard, "select * from sharded_tables").await {
            let (name, expression) = (text(&table["table_name"]), text(&table["slot_expression"]));
            let sql = format!("select ({expression})::integer as slot from {name}");
            for row in world.rows(shard, &sql).await {
                let slot = number(&row["slot"]);
                assert_eq!(owners[usize::from(slot)], shard, "{name} has a row of slot {slot} in s{shard}");
                filled.entry(name.clone()).or_default().insert(shard);
            }
        }
    }
    // The check above is worth something only where there are rows, and on more than one shard.
    let tables: BTreeSet<String> = names(&world, "select table_name as name from sharded_tables").await;
    for table in &tables {
        let shards = filled.get(table).map_or(0, BTreeSet::len);
        // There is one tag only, in one slot.
        let wanted = if table.starts_with("hashtag") { 1 } else { 2 };
        assert!(shards >= wanted, "{table} has rows on {shards} shards");
    }

    // Each user's posts are in the shard of the user's slot, and nowhere else.
    let mut of_author: HashMap<String, Vec<usize>> = HashMap::new();
    for shard in 0..SHARDS {
        for post in world.rows(shard, "select author_id from posts").await {
            of_author.entry(text(&post["author_id"])).or_default().push(shard);
        }
    }
    for person in &people {
        let home = owners[usize::from(person.user_id().slot().number())];
        assert_eq!(of_author[&person.id], [home], "posts of {}", person.username);
    }
    world.close().await;
}

async fn names(world: &World, sql: &str) -> BTreeSet<String> {
    world.rows(0, sql).await.iter().map(|row| text(&row["name"])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_table_says_by_its_key_where_its_rows_belong() {
    let world = World::new().await;
    world.process(Role::Worker).await;
    let mut tables = names(
        &world,
        "select relname::text as name from pg_class
         where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace",
    )
    .await;
    for table in OF_THE_SHARD {
        assert!(tables.remove(table), "{table} is gone");
    }
    let registered = names(&world, "select table_name as name from sharded_tables").await;
    assert_eq!(tables, registered, "a table is not registered, or a registered one is gone");
    for table in world.rows(0, "select * from sharded_tables").await {
        let (name, expression) = (text(&table["table_name"]), text(&table["slot_expression"]));
        let key = world
            .rows(
                0,
                &format!(
                    "select attname::text as name from pg_index join pg_attribute
                         on attrelid = indrelid and attnum = any(indkey)
                     where indisprimary and indrelid = '{name}'::regclass"
                ),
            )
            .await;
        assert!(!key.is_empty(), "{name} has no primary key");
        let key: Vec<String> = key.iter().map(|row| text(&row["name"])).collect();
        // An expression with another column does not run on the key alone.
        let sql = format!("select {expression} as slot from (select {} from {name}) as key", key.join(", "));
        world.rows(0, &sql).await;
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_agree_on_the_slot_of_an_id_and_on_its_owner() {
    let world = World::new().await;
    let app = world.process(Role::Worker).await;
    let ids: Vec<uuid::Uuid> = (0..1000).map(|_| uuid::Uuid::new_v4()).collect();
    let list: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let sql = format!("select id, slot_of(id) as slot from unnest('{{{}}}'::uuid[]) as id", list.join(","));
    let rows = world.rows(1, &sql).await;
    assert_eq!(rows.len(), ids.len());
    for (row, id) in rows.iter().zip(&ids) {
        assert_eq!(text(&row["id"]), id.to_string());
        assert_eq!(number(&row["slot"]), id::slot_of(*id).number(), "{id}");
    }

    let stored = owners(&world, 0).await;
    for shard in 1..SHARDS {
        assert_eq!(owners(&world, shard).await, stored, "s{shard} has another map");
    }
    let mut random = rand::rngs::StdRng::seed_from_u64(11);
    let mut drawn = [0_u32; SHARDS];
    for _ in 0..10_000 {
        let slot = Slot::new(random.random_range(0..SLOTS)).expect("a slot");
        let owner = app.domain().store.owner(UserId::make(&world.clock, slot).slot());
        assert_eq!(owner, stored[usize::from(slot.number())]);
        drawn[owner] += 1;
    }
    assert!(drawn.iter().all(|count| (2375..=2625).contains(count)), "{drawn:?}");
    world.close().await;
}

#[tokio::test]
async fn shards_are_listed_for_operators() {
    let world = World::new().await;
    let client = world.system().await;
    world.people_on_different_shards(&client, SHARDS).await;
    let list = |shards: String, json: &[&str]| {
        let mut arguments: Vec<String> = ["shards", "list", "--log=off"].map(str::to_owned).into();
        arguments.extend(json.iter().map(|argument| (*argument).to_owned()));
        arguments.push(shards);
        async move { run(&arguments, &[]).await }
    };
    let setting = world.settings().iter().find(|setting| setting.starts_with("--shards=")).expect("shards");
    let ended = list(setting.clone(), &["--json"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let shards: Vec<Value> = serde_json::from_str(&ended.output).expect("JSON");
    assert_eq!(
        shards.iter().map(|shard| text(&shard["shard"])).collect::<Vec<_>>(),
        ["s0", "s1", "s2", "s3"]
    );
    let slots: i64 = shards.iter().filter_map(|shard| shard["slots"].as_i64()).sum();
    assert_eq!(slots, i64::from(SLOTS));
    for (index, shard) in shards.iter().enumerate() {
        let users = world.rows(index, "select count(*) as n from users where state <> 9").await;
        assert_eq!(shard["contents"]["users"], users[0]["n"]);
        let endpoint = text(&shard["endpoint"]);
        assert!(endpoint.starts_with("127.0.0.1:") && !endpoint.contains('@'), "{endpoint}");
    }

    // The last one is away.
    let (others, _) = setting.rsplit_once(",s3=").expect("four shards");
    let ended = list(format!("{others},s3=postgres://fowergram:secret-word@127.0.0.1:1/none"), &[]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let lines: Vec<&str> = ended.output.lines().collect();
    assert_eq!(lines.len(), 1 + SHARDS, "{ended:?}");
    assert!(
        lines[1].trim_end().ends_with("answers") && lines[4].trim_end().ends_with("does not answer"),
        "{ended:?}"
    );
    assert!(!ended.output.contains("secret-word"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_is_run_again_and_has_one_effect() {
    let world = World::new().await;
    let client = world.system().await;
    let app = world.process(Role::Api).await;
    let store = &app.domain().store;
    let people = [world.person_on(&client, 0).await, world.person_on(&client, 0).await];
    let [one, two] = people.each_ref().map(Person::user_id);
    let (runs, both_hold_one) = (AtomicUsize::new(0), Barrier::new(2));
    let (runs, both_hold_one) = (&runs, &both_hold_one);
    let crosswise = |first: UserId, second: UserId| {
        store.tx(first.slot(), move |tx| async move {
            user::lock(&tx, first).await?;
            if runs.fetch_add(1, Ordering::SeqCst) < 2 {
                both_hold_one.wait().await;
            }
            user::lock(&tx, second).await?;
            user::count(&tx, second, Counter::Posts, 1).await
        })
    };
    let (here, there) = tokio::join!(crosswise(one, two), crosswise(two, one));
    here.expect("it succeeds");
    there.expect("it succeeds");
    // Both, where both find out at the same moment.
    assert!(runs.load(Ordering::SeqCst) > 2, "neither of the two was run again");
    let counts = world.rows(0, "select post_count from users where post_count > 0").await;
    assert_eq!(counts, [json!({ "post_count": 1 }), json!({ "post_count": 1 })]);
    world.close().await;
}
