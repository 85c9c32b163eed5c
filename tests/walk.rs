//! Lists over all shards: every row once, in order, while rows come and go; and with a shard away.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use fowergram::app::App;
use fowergram::model::id::{Slot, UserId};
use fowergram::store::user;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sea_orm::{ConnectionTrait as _, DatabaseConnection};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::act::ids;
use crate::harness::client::{Person, code, text};
use crate::harness::{SHARDS, World, eventually, stack};

const USERS: &str = "query ($first: Int, $after: Cursor, $verified: Boolean) {
    users(first: $first, after: $after, verified: $verified) { nodes { id } pageInfo { hasNextPage endCursor } } }";

/// Gives somebody a role.
async fn promote(world: &World, app: &App, person: &Person, role: u8) {
    let shard = app.domain().store.owner(person.user_id().slot());
    let url = world.shard_url(shard);
    let sql = format!("update users set role = {role} where id = '{}'", person.id);
    stack::connect(&url).await.execute_unprepared(&sql).await.expect("promoted");
}

/// An id of somebody who signed up at this moment (unix ms).
fn id_at(millis: u64, random: &mut StdRng) -> Uuid {
    let slot = Slot::new(random.random_range(0..4096)).expect("a slot");
    let made = UserId::make(&fowergram::model::Clock::system(), slot).uuid().as_u128();
    Uuid::from_u128(made & ((1 << 80) - 1) | u128::from(millis) << 80)
}

/// Connections to all shards, and which of them owns an id.
struct Shards {
    app: App,
    links: Vec<DatabaseConnection>,
}

impl Shards {
    async fn open(world: &World, app: &App) -> Self {
        let mut links = Vec::new();
        for index in 0..SHARDS {
            links.push(stack::connect(&world.shard_url(index)).await);
        }
        Self { app: app.clone(), links }
    }

    async fn insert(&self, ids: &[Uuid]) {
        for (index, link) in self.links.iter().enumerate() {
            let own =
                ids.iter().filter(|id| self.app.domain().store.owner(UserId::from_row(**id).slot()) == index);
            let rows: Vec<String> = own.map(|id| format!("('{id}', '{id}', '{id}', now())")).collect();
            if rows.is_empty() {
                continue;
            }
            let sql =
                format!("insert into users (id, username, email, created_at) values {}", rows.join(","));
            link.execute_unprepared(&sql).await.expect("inserted");
        }
    }

    async fn delete(&self, id: Uuid) {
        for link in &self.links {
            link.execute_unprepared(&format!("delete from users where id = '{id}'")).await.expect("deleted");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_of_fifty_pages_shows_every_row_once() {
    const PAGE: usize = 20;
    const STABLE: usize = 900;
    const LOOSE: usize = 200;
    let world = World::new().await;
    let client = world.system().await;
    let app = world.process(fowergram::app::Role::Api).await;
    let moderator = client.sign_up("mona").await;
    promote(&world, &app, &moderator, 1).await;
    let shards = Shards::open(&world, &app).await;
    let mut random = StdRng::seed_from_u64(11);
    // A year before now, a minute apart.
    let begin = u64::try_from(world.clock.unix_millis()).expect("after 1970") - 365 * 86_400_000;
    let mut id = || {
        let minute = random.random_range(0..500_000);
        id_at(begin + minute * 60_000, &mut random)
    };
    let stable: Vec<Uuid> = (0..STABLE).map(|_| id()).collect();
    let loose: Vec<Uuid> = (0..LOOSE).map(|_| id()).collect();
    let coming: Vec<Uuid> = (0..LOOSE).map(|_| id()).collect();
    shards.insert(&stable).await;
    shards.insert(&loose).await;
    // Rows of a slot that is another shard's, as a move leaves them behind, are nobody's.
    let stray = stable[0];
    let stranger =
        (0..SHARDS).find(|index| app.domain().store.owner(UserId::from_row(stray).slot()) != *index);
    let sql =
        format!("insert into users (id, username, email, created_at) values ('{stray}', 'x', 'x', now())");
    shards.links[stranger.expect("another shard")].execute_unprepared(&sql).await.expect("inserted");

    let over = AtomicBool::new(false);
    let changes = async {
        for (gone, new) in loose.iter().zip(&coming) {
            if over.load(Ordering::Relaxed) {
                break;
            }
            shards.delete(*gone).await;
            shards.insert(&[*new]).await;
        }
    };
    let walk = async {
        let (mut seen, mut after, mut pages) = (Vec::new(), Value::Null, 0);
        loop {
            let data = moderator.client.data(USERS, json!({ "first": PAGE, "after": after })).await;
            let page = &data["users"];
            let nodes = page["nodes"].as_array().expect("nodes");
            // Null is who went between the page of ids and the rows.
            seen.extend(nodes.iter().filter(|node| !node.is_null()).map(|node| text(&node["id"])));
            pages += 1;
            after = page["pageInfo"]["endCursor"].clone();
            if page["pageInfo"]["hasNextPage"] == json!(false) {
                over.store(true, Ordering::Relaxed);
                return (seen, pages);
            }
        }
    };
    let ((seen, pages), ()) = tokio::join!(walk, changes);
    println!("{pages} pages, {} rows", seen.len());
    assert!(pages >= 50, "{pages} pages");
    assert!(seen.is_sorted_by(|one, other| one > other), "out of order, or twice");
    let seen: HashSet<String> = seen.into_iter().collect();
    let missing = stable.iter().filter(|id| !seen.contains(&id.to_string())).count();
    assert_eq!(missing, 0, "of those that were there all the time");

    // And no page reads more than it may need.
    for verified in [None, Some(true), Some(false)] {
        assert_reads_one_page(&app, &shards, stable[STABLE / 2], verified).await;
    }
    let verified = format!("update users set is_verified = true where id = '{}'", stable[7]);
    for link in &shards.links {
        link.execute_unprepared(&verified).await.expect("verified");
    }
    let data = moderator.client.data(USERS, json!({ "verified": true })).await;
    assert_eq!(ids(&data["users"]), [stable[7].to_string()]);
    world.close().await;
}

/// The node of a plan that reads a table.
fn scan_of<'a>(table: &str, node: &'a Value) -> Option<&'a Value> {
    if node["Alias"] == table {
        return Some(node);
    }
    node["Plans"].as_array()?.iter().find_map(|below| scan_of(table, below))
}

/// Has each shard explain what it did for one page.
async fn assert_reads_one_page(app: &App, shards: &Shards, before: Uuid, verified: Option<bool>) {
    const LIMIT: i64 = 21;
    for (index, link) in shards.links.iter().enumerate() {
        let mut statement =
            user::newest_statement(&app.domain().store.slots_of(index), before, verified, LIMIT);
        // With so few rows a scan of all would be as good.
        link.execute_unprepared("set enable_seqscan = off; set enable_sort = off").await.expect("set");
        statement.sql = format!("explain (analyze, format json) {}", statement.sql);
        let rows = link.query_all_raw(statement).await.expect("a plan");
        let plan: Value = rows[0].try_get_by_index(0).expect("JSON");
        let scan = scan_of("users", &plan[0]["Plan"]).expect("a scan");
        assert!(scan["Node Type"].as_str().expect("a node").starts_with("Index"), "{plan:#}");
        let read = [&scan["Actual Rows"], &scan["Rows Removed by Filter"]];
        let read: i64 = read.iter().filter_map(|rows| rows.as_i64()).sum();
        // The row of another shard's slot is read and left out.
        assert!(read <= LIMIT + 1, "{read} rows: {plan:#}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_goes_on_past_a_shard_that_is_away_and_comes_back_to_it() {
    let world = World::alone().await;
    let (app, address) = world.api().await;
    world.process(fowergram::app::Role::Worker).await;
    let client = crate::harness::client::Client::new(address);
    let people = world.people_on_different_shards(&client, SHARDS).await;
    let admin = &people[0];
    promote(&world, &app, admin, 2).await;
    let dead = app.domain().store.owner(people[1].user_id().slot());
    let all: BTreeSet<String> = {
        let mut all = BTreeSet::new();
        for index in 0..SHARDS {
            all.extend(world.rows(index, "select id from users").await.iter().map(|row| text(&row["id"])));
        }
        all
    };
    world.settle().await;
    let shards = "{ shards { name healthy slots users sizeBytes replicas { name } } }";
    let data = admin.client.data(shards, json!({})).await;
    let counted: i64 =
        data["shards"].as_array().expect("shards").iter().filter_map(|one| one["users"].as_i64()).sum();
    assert_eq!(counted, i64::try_from(all.len()).expect("few"));

    let first = admin.client.data(USERS, json!({ "first": 1 })).await;
    let mut seen: BTreeSet<String> = ids(&first["users"]).into_iter().collect();
    let mut after = first["users"]["pageInfo"]["endCursor"].clone();
    world.servers().postgres()[dead].kill().await;
    for _ in 0..all.len() {
        let answer = admin.client.ask(USERS, json!({ "first": 1, "after": after })).await;
        assert_eq!(code(&answer).as_deref(), Some("SHARD_UNAVAILABLE"), "{answer}");
        assert_eq!(answer["errors"][0]["path"], json!(["users"]));
        let page = &answer["data"]["users"];
        let found = ids(page);
        if found.is_empty() {
            break;
        }
        seen.extend(found);
        after = page["pageInfo"]["endCursor"].clone();
    }
    assert!(seen.len() < all.len(), "nothing was missing");
    let answer = admin.client.ask(shards, json!({})).await;
    let states = answer["data"]["shards"].as_array().expect("shards");
    for (index, state) in states.iter().enumerate() {
        assert_eq!(state["healthy"], json!(index != dead), "{state}");
        assert_eq!(state["users"].is_null(), index == dead, "{state}");
    }

    world.servers().postgres()[dead].start().await.expect("PostgreSQL starts");
    let rest = eventually("the shard is read again", async || {
        let answer = admin.client.ask(USERS, json!({ "first": 100, "after": after })).await;
        answer["errors"].is_null().then(|| ids(&answer["data"]["users"]))
    });
    seen.extend(rest.await);
    assert_eq!(seen, all);
    world.close().await;
}

#[tokio::test]
async fn staff_only() {
    let world = World::new().await;
    let client = world.system().await;
    let app = world.process(fowergram::app::Role::Api).await;
    let person = client.sign_up("pat").await;
    let shards = "{ shards { name } }";
    for (role, users, all) in
        [(0, Some("FORBIDDEN"), Some("FORBIDDEN")), (1, None, Some("FORBIDDEN")), (2, None, None)]
    {
        promote(&world, &app, &person, role).await;
        let answer = person.client.ask(USERS, json!({})).await;
        assert_eq!(code(&answer).as_deref(), users, "as {role}: {answer}");
        let answer = person.client.ask(shards, json!({})).await;
        assert_eq!(code(&answer).as_deref(), all, "as {role}: {answer}");
    }
    assert_eq!(client.code(USERS, json!({})).await, "UNAUTHENTICATED");
    assert_eq!(client.code(shards, json!({})).await, "UNAUTHENTICATED");
    world.close().await;
}
