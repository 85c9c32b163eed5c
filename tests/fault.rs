//! A shard that dies, or stands still, under load: what was answered stays, and nobody else notices.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fowergram::app::{App, Role};
use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::harness::client::{Client, Person, code, missing, text};
use crate::harness::{SHARDS, World, eventually};

const CLIENTS: usize = 20;
/// The time-outs that processes have by default; see `fowergram serve --help`.
const CONNECT: Duration = Duration::from_millis(1_500);
const STATEMENT: Duration = Duration::from_secs(5);

const COMMENT: &str =
    "mutation ($input: CreateCommentInput!) { createComment(input: $input) { comment { id } } }";
const SEND: &str = "mutation ($input: SendMessageInput!) { sendMessage(input: $input) { message { id } } }";
const READ: &str = "query ($id: ID!) { viewer { email }
    post(id: $id) { author { username } likeCount comments(first: 5) { nodes { text } } } }";

enum Fault {
    /// The server and its children are killed, and started again later.
    Killed,
    /// Their clock stands still for so long.
    Frozen(Duration),
}

/// One request, and what came of it.
struct Asked {
    shard: usize,
    at: Instant,
    took: Duration,
    code: Option<String>,
}

/// Somebody with a post, on one shard.
struct Tenant {
    person: Person,
    shard: usize,
    post: String,
}

impl Tenant {
    /// Writes and reads on the own shard, until told to stop: the requests, and the ids of what was
    /// acknowledged.
    async fn live(&self, stop: &AtomicBool) -> (Vec<Asked>, Vec<String>) {
        let (mut asked, mut written) = (Vec::new(), Vec::new());
        while !stop.load(Ordering::Relaxed) {
            for step in 0..4 {
                let key = uuid::Uuid::new_v4();
                let comment = json!({ "idempotencyKey": key, "postId": self.post, "text": "still here" });
                let message =
                    json!({ "idempotencyKey": key, "to": { "postId": self.post }, "text": "and here" });
                let (query, variables) = match step {
                    0 => (COMMENT, json!({ "input": comment })),
                    1 => (SEND, json!({ "input": message })),
                    2 => (
                        "mutation ($id: ID!) { likePost(id: $id) { post { id } } }",
                        json!({ "id": self.post }),
                    ),
                    _ => (READ, json!({ "id": self.post })),
                };
                let at = Instant::now();
                let answer = self.person.client.ask(query, variables).await;
                asked.push(Asked { shard: self.shard, at, took: at.elapsed(), code: code(&answer) });
                let made =
                    [&answer["data"]["createComment"]["comment"], &answer["data"]["sendMessage"]["message"]];
                written.extend(made.into_iter().filter(|row| !row.is_null()).map(|row| text(&row["id"])));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        (asked, written)
    }
}

/// The time within which 99 of 100 were answered.
fn p99<'a>(asked: impl Iterator<Item = &'a Asked>) -> Duration {
    let mut took: Vec<Duration> = asked.map(|asked| asked.took).collect();
    took.sort_unstable();
    took.get(took.len() * 99 / 100).copied().unwrap_or_default()
}

/// As many on each shard.
async fn tenants(app: &App, client: &Client) -> Vec<Tenant> {
    let mut people: Vec<(usize, Person)> = Vec::new();
    let mut number = 0;
    while people.len() < CLIENTS {
        number += 1;
        let person = client.sign_up(&format!("tenant{number}")).await;
        let shard = app.domain().store.owner(person.user_id().slot());
        if people.iter().filter(|(other, _)| *other == shard).count() < CLIENTS / SHARDS {
            people.push((shard, person));
        }
    }
    join_all(people.into_iter().map(|(shard, person)| async move {
        let post = person.client.post("mine").await;
        Tenant { person, shard, post }
    }))
    .await
}

async fn only_its_own_users_notice(fault: Fault) {
    let world = World::alone().await;
    let (app, address) = world.api().await;
    world.process(Role::Worker).await;
    let tenants = tenants(&app, &Client::new(address)).await;
    let dead = tenants[0].shard;
    let server = &world.servers().postgres()[dead];

    let stop = AtomicBool::new(false);
    let work = join_all(tenants.iter().map(|tenant| tenant.live(&stop)));
    let harm = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let began = Instant::now();
        match fault {
            Fault::Killed => {
                server.kill().await;
                tokio::time::sleep(Duration::from_secs(3)).await;
                server.start().await.expect("PostgreSQL starts");
            }
            Fault::Frozen(long) => {
                let frozen = server.freeze();
                tokio::time::sleep(long).await;
                drop(frozen);
            }
        }
        let over = Instant::now();
        eventually("its users are served again", async || {
            let answers = tenants
                .iter()
                .filter(|tenant| tenant.shard == dead)
                .map(|tenant| tenant.person.client.ask("{ viewer { email } }", json!({})));
            join_all(answers).await.iter().all(|answer| answer["errors"].is_null()).then_some(())
        })
        .await;
        println!("served again {:?} after the end of it", over.elapsed());
        tokio::time::sleep(Duration::from_secs(2)).await;
        stop.store(true, Ordering::Relaxed);
        (began, over)
    };
    let (done, (began, over)) = tokio::join!(work, harm);
    let (asked, written): (Vec<_>, Vec<_>) = done.into_iter().unzip();
    let (asked, written): (Vec<Asked>, BTreeSet<String>) =
        (asked.into_iter().flatten().collect(), written.into_iter().flatten().collect());

    let others = || asked.iter().filter(|asked| asked.shard != dead);
    for (when, from, to) in
        [("before", None, Some(began)), ("during", Some(began), Some(over)), ("after", Some(over), None)]
    {
        let within =
            |asked: &&Asked| from.is_none_or(|from| asked.at >= from) && to.is_none_or(|to| asked.at < to);
        println!(
            "{when}: the others' p99 {:?} of {}; its own users' p99 {:?} of {}",
            p99(others().filter(within)),
            others().filter(within).count(),
            p99(asked.iter().filter(|asked| asked.shard == dead).filter(within)),
            asked.iter().filter(|asked| asked.shard == dead).filter(within).count(),
        );
    }
    for one in others() {
        assert_eq!(one.code, None, "somebody on shard {} noticed", one.shard);
    }
    // All of them would wait for a server that is away, and not one whom this machine kept waiting.
    let waited = others().filter(|one| one.took >= CONNECT).count();
    assert!(waited * 100 <= others().count(), "{waited} waited for a server that was away");
    let own: Vec<&Asked> = asked.iter().filter(|asked| asked.shard == dead).collect();
    assert!(own.iter().any(|asked| asked.code.is_some()), "nobody was hurt");
    // Only those who asked before it was known.
    let known = began + if matches!(fault, Fault::Killed) { CONNECT } else { STATEMENT };
    let late = || own.iter().filter(|asked| asked.at >= known && asked.at < over);
    let waited = late().filter(|asked| asked.took > Duration::from_secs(1)).count();
    assert!(
        waited * 100 <= late().count(),
        "{waited} requests waited for a server that was known to be away"
    );
    for one in own {
        assert!(one.code.as_deref().is_none_or(|code| code == "SHARD_UNAVAILABLE"), "{:?}", one.code);
        assert!(one.took < STATEMENT + CONNECT, "{:?}: longer than its time-out", one.took);
    }
    let mut stored = BTreeSet::new();
    for shard in 0..SHARDS {
        let rows = world.rows(shard, "select id from comments union all select id from messages").await;
        stored.extend(rows.iter().map(|row: &Value| text(&row["id"])));
    }
    let lost: Vec<_> = written.difference(&stored).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged writes are lost", lost.len(), written.len());
    println!("{} acknowledged writes, none lost", written.len());
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_shard_hurts_only_its_own_users() {
    only_its_own_users_notice(Fault::Killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_shard_hurts_no_more_than_a_dead_one() {
    only_its_own_users_notice(Fault::Frozen(Duration::from_secs(10))).await;
}

/// Takes every place of a database, those of the processes that use it too.
async fn fill(url: &str) -> Vec<PgConnection> {
    let url = format!("{url}?application_name=filler");
    let mut taken: Vec<PgConnection> = Vec::new();
    loop {
        while let Ok(connection) = PgConnection::connect(&url).await {
            taken.push(connection);
        }
        let others = "select count(pg_terminate_backend(pid)) from pg_stat_activity
            where backend_type = 'client backend' and application_name <> 'filler'";
        let ended: i64 = sqlx::query_scalar(others).fetch_one(&mut taken[0]).await.expect("an answer");
        if ended == 0 {
            return taken;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_shard_says_so_at_once() {
    let world = World::alone().await;
    let (app, address) = world.api().await;
    world.process(Role::Worker).await;
    let client = Client::new(address);
    let people = world.people_on_different_shards(&client, 2).await;
    let [tenant, other] = people.as_slice() else { panic!("two people") };
    let shard = app.domain().store.owner(tenant.user_id().slot());

    let taken = fill(&world.shard_url(shard)).await;
    let query = "{ viewer { email } }";
    for _ in 0..20 {
        let began = Instant::now();
        let (own, others) =
            tokio::join!(tenant.client.ask(query, json!({})), other.client.ask(query, json!({})));
        assert_eq!(code(&own).as_deref(), Some("SHARD_UNAVAILABLE"), "{own}");
        assert_eq!(code(&others), None, "{others}");
        assert!(began.elapsed() < CONNECT, "{:?}", began.elapsed());
    }
    let (status, body) = client.ready().await;
    assert_eq!((status, &body["status"]), (200, &json!("degraded")), "{body}");
    assert_eq!(missing(&body), [format!("shard s{shard}")]);

    drop(taken);
    eventually("there is room again", async || {
        tenant.client.ask(query, json!({})).await["errors"].is_null().then_some(())
    })
    .await;
    eventually("all is ready", async || (client.ready().await.1["status"] == "ready").then_some(())).await;
    world.close().await;
}
