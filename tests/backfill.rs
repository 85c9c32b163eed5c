//! Backfills: however often workers die, each row is rewritten once.

use std::time::Duration;

use fowergram::app::{App, Role};
use fowergram::store::migrate::backfill::Backfill;
use fowergram::worker::backfill::run as rewrite;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::harness::binary::run;
use crate::harness::client::text;
use crate::harness::stack;
use crate::harness::{World, eventually};

const ROWS: i64 = 2000;
const BATCH: i64 = 50;
const SHARD: usize = 1;

/// Counts how often it touches each row, and takes its time.
const COUNT: Backfill = Backfill {
    name: "test_count",
    sql: "with batch as (
            select id from touched where id > coalesce(nullif($1, ''), '0')::integer order by id limit $2),
        done as (update touched set times = times + 1 from batch where touched.id = batch.id returning touched.id)
        select max(id)::text as position, count(*) as row_count from done, pg_sleep(0.02)",
    batch: BATCH,
};
/// Comes after it.
const LATER: Backfill = Backfill {
    name: "test_later",
    sql: "with done as (
            update touched set later = (select count(*) from touched where times = 1)
            where id > coalesce(nullif($1, ''), '0')::integer and id <= $2 returning id)
        select max(id)::text as position, count(*) as row_count from done",
    batch: 1,
};
const ALL: &[Backfill] = &[COUNT, LATER];

async fn prepare(world: &World) -> App {
    let app = world.process(Role::Worker).await;
    let sql = format!(
        "create table touched as select id, 0 as times, 0::bigint as later from generate_series(1, {ROWS}) id"
    );
    execute(world, &sql).await;
    app
}

async fn execute(world: &World, sql: &str) {
    use sea_orm::ConnectionTrait as _;
    let connection = stack::connect(&world.shard_url(SHARD)).await;
    connection.execute_unprepared(sql).await.expect("it runs");
    connection.close().await.expect("closes");
}

async fn go_on(app: &App) {
    let stopping = CancellationToken::new();
    // What a killed worker's transaction holds is gone in a moment.
    let shard = &app.domain().store.shards()[SHARD];
    rewrite(shard, ALL, &stopping).await.expect("it goes on");
}

async fn is_done(world: &World) -> Option<()> {
    let rows = world.rows(SHARD, "select name from backfills where done_at is not null").await;
    (rows.len() == ALL.len()).then_some(())
}

async fn each_row_was_touched_once(world: &World) {
    let wrong = world.rows(SHARD, "select id, times from touched where times <> 1 limit 5").await;
    assert!(wrong.is_empty(), "{wrong:?}");
    let progress = world.rows(SHARD, "select name, position, row_count from backfills order by name").await;
    let expected = json!([
        { "name": "test_count", "position": ROWS.to_string(), "row_count": ROWS },
        { "name": "test_later", "position": "1", "row_count": 1 },
    ]);
    assert_eq!(json!(progress), expected);
    // It began when all of the first was done.
    let later = world.rows(SHARD, "select later from touched where id = 1").await;
    assert_eq!(later[0]["later"], ROWS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_worker_loses_and_repeats_nothing() {
    let world = World::new().await;
    let app = prepare(&world).await;
    let mut random = rand::rngs::StdRng::seed_from_u64(5);
    let mut kills = 0;
    while is_done(&world).await.is_none() {
        assert!(kills < 1_000, "it gets nowhere");
        let one = app.clone();
        let worker = app.tasks().spawn(async move { go_on(&one).await });
        tokio::time::sleep(Duration::from_millis(random.random_range(5..120))).await;
        if !worker.is_finished() {
            kills += 1;
            worker.abort();
        }
    }
    println!("done in spite of {kills} kills");
    assert!(kills > 5, "it was hardly disturbed");
    each_row_was_touched_once(&world).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_at_once_share_the_work() {
    let world = World::new().await;
    let app = prepare(&world).await;
    let other = world.process(Role::Worker).await;
    let work = async |app: &App| {
        eventually("it is done", async || {
            go_on(app).await;
            is_done(&world).await
        })
        .await;
    };
    let status = async {
        let setting =
            world.settings().iter().find(|setting| setting.starts_with("--shards=")).expect("shards");
        eventually("its progress is shown", async || {
            let ended = run(&["migrate".to_owned(), "status".to_owned(), setting.clone()], &[]).await;
            let line = ended.output.lines().find(|line| line.starts_with("s1: "))?.to_owned();
            line.contains(" rows, at '").then_some(line)
        })
        .await
    };
    let ((), (), line) = tokio::join!(work(&app), work(&other), status);
    println!("{line}");
    assert!(line.contains("backfill test_count: "), "{line}");
    each_row_was_touched_once(&world).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_fails_is_tried_again_from_where_it_was() {
    let world = World::new().await;
    let app = prepare(&world).await;
    execute(&world, "alter table touched add constraint touched_once check (id <> 1234 or times = 0)").await;
    let shard = &app.domain().store.shards()[SHARD];
    let failed = rewrite(shard, ALL, &CancellationToken::new()).await;
    assert!(failed.is_err());
    let known = world.rows(SHARD, "select position, done_at from backfills").await;
    assert_eq!(json!(known), json!([{ "position": "1200", "done_at": null }]));
    let touched = world.rows(SHARD, "select max(id) as id from touched where times > 0").await;
    assert_eq!(text(&known[0]["position"]), touched[0]["id"].to_string());

    execute(&world, "alter table touched drop constraint touched_once").await;
    go_on(&app).await;
    each_row_was_touched_once(&world).await;
    world.close().await;
}
