//! Shards behind `PgBouncer` in transaction mode: many clients share few connections to the server, and each
//! gets its own answers.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fowergram::app::{App, Role};
use fowergram::dev::{POOL_SIZE, Pgbouncer};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::binary::run;
use crate::harness::client::{Client, Person, code, text};
use crate::harness::stack::DATABASE;
use crate::harness::{SHARDS, World, eventually};

const CLIENTS: usize = 20;
const ROUNDS: usize = 25;
/// Connections of each process to each shard, and so many that they can't all have one of the pooler's.
const POOL: u32 = 10;
/// The time-outs that processes have by default; see `fowergram serve --help`.
const CONNECT: Duration = Duration::from_millis(1_500);
const STATEMENT: Duration = Duration::from_secs(5);

const READ: &str = "query ($people: [ID!]!, $comments: [ID!]!, $post: ID!) {
    viewer { user { username } }
    people: nodes(ids: $people) { id ... on User { username } }
    comments: nodes(ids: $comments) { id ... on Comment { text author { id } post { id } } }
    post: node(id: $post) { ... on Post { caption author { username } commentCount } } }";
const LIKE: &str = "mutation ($id: ID!) { likePost(id: $id) { post { id likeCount viewerHasLiked } } }";

/// A world whose processes reach the shards through poolers.
struct Pooled {
    world: World,
    poolers: Vec<Pgbouncer>,
    settings: Vec<String>,
}

impl Pooled {
    async fn new() -> Self {
        let world = World::alone().await;
        let poolers = world.servers().poolers().await.expect("PgBouncer is installed");
        let list = |url: &dyn Fn(usize) -> String| {
            (0..SHARDS).map(|index| format!("s{index}={}", url(index))).collect::<Vec<_>>().join(",")
        };
        let settings = vec![
            format!("--shards={}", list(&|index| poolers[index].url(DATABASE))),
            format!("--shard-direct={}", list(&|index| world.shard_url(index))),
            format!("--shard-pool-size={POOL}"),
        ];
        Self { world, poolers, settings }
    }

    async fn start(&self) {
        join_all(self.poolers.iter().map(async |pooler| pooler.start().await.expect("PgBouncer starts")))
            .await;
    }

    async fn process(&self, role: Role) -> App {
        let changes: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        self.world.process_with(role, &changes).await
    }

    async fn api(&self) -> (App, SocketAddr) {
        let app = self.process(Role::Api).await;
        let address = crate::harness::serve(&app).await;
        (app, address)
    }

    async fn close(self) {
        self.world.close().await;
        join_all(self.poolers.iter().map(Pgbouncer::stop)).await;
    }
}

/// Somebody with a post, and what was answered about the comments on it: their ids and texts.
struct Tenant {
    person: Person,
    post: String,
}

impl Tenant {
    /// Writes and reads, and compares every answer with what it must be.
    async fn live(&self, number: usize, others: &[Self], addresses: [SocketAddr; 2]) {
        let next = &others[(number + 1) % others.len()];
        let ids: Vec<&str> = others.iter().map(|other| other.person.id.as_str()).collect();
        let mut written: Vec<(String, String)> = Vec::new();
        for round in 0..ROUNDS {
            let person = self.person.at(addresses[(number + round) % 2]);
            let words = format!("{number} says {round}");
            written.push((person.comment(&self.post, None, &words).await, words));
            let last: Vec<_> = written.iter().rev().take(10).collect();
            let comments: Vec<&str> = last.iter().map(|(id, _)| id.as_str()).collect();
            let variables = json!({ "people": ids, "comments": comments, "post": self.post });
            let data = person.client.data(READ, variables).await;
            assert_eq!(data["viewer"]["user"]["username"], person.username.as_str());
            let expected = others.iter().map(|other| &other.person);
            let expected: Vec<Value> =
                expected.map(|other| json!({ "id": other.id, "username": other.username })).collect();
            assert_eq!(data["people"], Value::from(expected));
            let expected = last.iter().map(|(id, words)| {
                json!({ "id": id, "text": words, "author": { "id": person.id }, "post": { "id": self.post } })
            });
            assert_eq!(data["comments"], expected.collect::<Value>());
            let post = json!({ "caption": format!("of {}", person.username),
                "author": { "username": person.username }, "commentCount": round + 1 });
            assert_eq!(data["post"], post);
            let liked = person.client.data(LIKE, json!({ "id": next.post })).await;
            let post = json!({ "id": next.post, "likeCount": 1, "viewerHasLiked": true });
            assert_eq!(liked["likePost"]["post"], post);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_share_connections_get_their_own_answers() {
    let pooled = Pooled::new().await;
    // Nothing listens in front of the shards yet: migrations go past it.
    let arguments = [&["migrate".to_owned(), "up".to_owned()], &pooled.settings[..2]].concat();
    let ended = run(&arguments, &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");

    pooled.start().await;
    let (_, one) = pooled.api().await;
    let (_, two) = pooled.api().await;
    pooled.process(Role::Worker).await;
    let client = Client::new(one);
    let tenants = join_all((0..CLIENTS).map(|number| {
        let client = client.clone();
        async move {
            let person = client.sign_up(&format!("tenant{number}")).await;
            let post = person.client.post(&format!("of {}", person.username)).await;
            Tenant { person, post }
        }
    }))
    .await;
    let began = Instant::now();
    join_all(tenants.iter().enumerate().map(|(number, tenant)| tenant.live(number, &tenants, [one, two])))
        .await;
    println!("{} requests in {:?}", CLIENTS * ROUNDS * 3, began.elapsed());

    let mut comments = 0;
    for index in 0..SHARDS {
        // The pooler kept to its few.
        let sql = "select count(*) as n from pg_stat_activity where datname = current_database()
            and pid <> pg_backend_pid() and backend_type = 'client backend'";
        let used = pooled.world.rows(index, sql).await[0]["n"].as_u64();
        assert!(used.is_some_and(|used| used <= u64::from(POOL_SIZE)), "{used:?} connections to s{index}");
        let sql = "select count(*) as n from comments";
        comments += pooled.world.rows(index, sql).await[0]["n"].as_u64().unwrap_or_default();
    }
    assert_eq!(comments, (CLIENTS * ROUNDS) as u64);
    pooled.close().await;
}

/// What the shard's own user and somebody else get, for so long as the shard is away.
async fn only_the_own_user_is_hurt(own: &Person, other: &Person) {
    let query = "{ viewer { email } }";
    eventually("the shard is known to be away", async || {
        let began = Instant::now();
        let answer = own.client.ask(query, json!({})).await;
        assert!(began.elapsed() < STATEMENT + CONNECT, "{:?}", began.elapsed());
        assert_eq!(other.client.data(query, json!({})).await["viewer"]["email"], email(other));
        (code(&answer).as_deref() == Some("SHARD_UNAVAILABLE") && began.elapsed() < CONNECT / 2).then_some(())
    })
    .await;
    for _ in 0..20 {
        let began = Instant::now();
        let answer = own.client.ask(query, json!({})).await;
        assert_eq!(code(&answer).as_deref(), Some("SHARD_UNAVAILABLE"), "{answer}");
        assert_eq!(other.client.data(query, json!({})).await["viewer"]["email"], email(other));
        assert!(began.elapsed() < STATEMENT, "{:?}", began.elapsed());
    }
}

async fn served_again(person: &Person) {
    let began = Instant::now();
    eventually("its users are served again", async || {
        let answer = person.client.ask("{ viewer { email } }", json!({})).await;
        answer["errors"]
            .is_null()
            .then(|| assert_eq!(text(&answer["data"]["viewer"]["email"]), email(person)))
    })
    .await;
    println!("served again after {:?}", began.elapsed());
}

fn email(person: &Person) -> String {
    format!("{}@example.org", person.username)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_pooler_or_a_server_behind_it_is_a_dead_shard() {
    let pooled = Pooled::new().await;
    pooled.start().await;
    let (app, address) = pooled.api().await;
    pooled.process(Role::Worker).await;
    let people = pooled.world.people_on_different_shards(&Client::new(address), 2).await;
    let [own, other] = people.as_slice() else { panic!("two people") };
    let shard = app.domain().store.owner(own.user_id().slot());

    pooled.poolers[shard].kill().await;
    only_the_own_user_is_hurt(own, other).await;
    pooled.poolers[shard].start().await.expect("PgBouncer starts");
    served_again(own).await;

    let server = &pooled.world.servers().postgres()[shard];
    server.kill().await;
    only_the_own_user_is_hurt(own, other).await;
    server.start().await.expect("PostgreSQL starts");
    served_again(own).await;
    pooled.close().await;
}
