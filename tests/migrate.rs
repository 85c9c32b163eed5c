//! Migrations of many shards: together, once each, and no further than where one fails.

use std::path::Path;
use std::time::{Duration, Instant};

use fowergram::app::Role;
use fowergram::model::id::Slot;
use fowergram::model::{Clock, Error};
use fowergram::store::migrate::schema::KNOWN;
use fowergram::store::migrate::{self, LOCK_WAIT, Step};
use fowergram::store::shard::failure;
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::harness::binary::{Ended, run, run_in};
use crate::harness::client::{Client, missing, text};
use crate::harness::stack::{self, Stack};
use crate::harness::{SHARDS, World, eventually};

/// The key of the lock that runs hold; see `store::migrate`.
const LOCK: i64 = 0x6677_676d;

/// Databases of shards that nobody has migrated.
struct Unmigrated(Vec<String>);

impl Unmigrated {
    async fn new(name: &str) -> Self {
        let names: Vec<String> = (0..SHARDS).map(|index| format!("{name}_s{index}")).collect();
        for name in &names {
            Self::server().create_database(name).await.expect("a database");
        }
        Self(names)
    }

    fn server() -> &'static fowergram::dev::Postgres {
        &Stack::shared().servers().postgres()[0]
    }

    fn url(&self, index: usize) -> String {
        Self::server().url(&self.0[index])
    }

    async fn execute(&self, index: usize, sql: &str) {
        Self::server().execute(&self.0[index], sql).await.expect("it runs");
    }

    async fn migrate(&self, more: &[&str]) -> Ended {
        let shards: Vec<String> = (0..SHARDS).map(|index| format!("s{index}={}", self.url(index))).collect();
        let mut arguments: Vec<String> = more.iter().map(|argument| (*argument).to_owned()).collect();
        arguments.insert(0, "migrate".to_owned());
        arguments.push(format!("--shards={}", shards.join(",")));
        run(&arguments, &[]).await
    }

    async fn history(&self, index: usize) -> Vec<String> {
        let rows =
            stack::rows(&self.url(index), "select version from seaql_migrations order by version").await;
        rows.iter().map(|row| text(&row["version"])).collect()
    }

    async fn drop(self) {
        for name in &self.0 {
            Stack::shared().drop_database(name).await;
        }
    }
}

/// The line about a shard.
fn line<'a>(lines: impl IntoIterator<Item = &'a str>, shard: usize) -> String {
    let start = format!("s{shard}: ");
    let found = lines.into_iter().find_map(|line| line.strip_prefix(&start));
    found.unwrap_or_else(|| panic!("nothing about s{shard}")).to_owned()
}

fn told(ended: &Ended, shard: usize) -> String {
    line(ended.told.iter().map(String::as_str), shard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_at_once_apply_each_migration_once() {
    let shards = Unmigrated::new("race").await;
    let (one, two) = tokio::join!(shards.migrate(&["up"]), shards.migrate(&["up"]));
    for ended in [&one, &two] {
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    for index in 0..SHARDS {
        assert_eq!(shards.history(index).await, *KNOWN);
        // Between them they did all of it, and nothing twice.
        let both = [line(one.output.lines(), index), line(two.output.lines(), index)].join(" ");
        for name in KNOWN.iter() {
            assert_eq!(both.matches(name.as_str()).count(), 1, "{name}: {both}");
        }
    }
    let again = shards.migrate(&["up"]).await;
    assert_eq!((again.code, line(again.output.lines(), 2).as_str()), (Some(0), "up to date"), "{again:?}");
    shards.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_fails_stops_the_others_before_the_next_migration() {
    let shards = Unmigrated::new("fail").await;
    // The third migration makes it.
    shards.execute(2, "create table posts (planted integer)").await;
    let ended = shards.migrate(&["up"]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(ended.output, "", "{ended:?}");
    for index in 0..SHARDS {
        let done = if index == 2 { 2 } else { 3 };
        assert_eq!(shards.history(index).await, KNOWN[..done], "s{index}");
        let said = told(&ended, index);
        let left = format!("not begun: {}", KNOWN[done..].join(", "));
        assert!(said.ends_with(&left), "{said}");
        if index == 2 {
            assert!(said.contains(&format!("{} failed: ", KNOWN[2])), "{said}");
            assert!(said.contains("relation \"posts\" already exists"), "{said}");
        } else {
            let start = format!("applied {}; stopped, because s2 failed", KNOWN[..3].join(", "));
            assert!(said.starts_with(&start), "{said}");
        }
    }

    shards.execute(2, "drop table posts").await;
    let ended = shards.migrate(&["up"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for index in 0..SHARDS {
        assert_eq!(shards.history(index).await, *KNOWN);
        let done = if index == 2 { 2 } else { 3 };
        assert_eq!(line(ended.output.lines(), index), format!("applied {}", KNOWN[done..].join(", ")));
    }
    shards.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_run_is_waited_for_and_told() {
    let shards = Unmigrated::new("wait").await;
    let mut other = PgConnection::connect(&shards.url(1)).await.expect("a connection");
    let lock = "select pg_advisory_lock($1)";
    sqlx::query(lock).bind(LOCK).execute(&mut other).await.expect("the lock");

    let ended = shards.migrate(&["up", "--lock-wait-seconds=1"]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let running = "another migration is running on s1 since 20";
    assert!(ended.told[0].starts_with(running) && ended.told[0].ends_with("waiting for it"), "{ended:?}");
    let said = told(&ended, 1);
    assert!(said.contains(running) && said.contains("run again when it has ended"), "{said}");
    assert!(shards.history(0).await == KNOWN[..1], "the others are one ahead at most");

    let (ended, ()) = tokio::join!(shards.migrate(&["up"]), async {
        // It waits: nothing is done on this shard before the lock is given back.
        let waits = "select pid from pg_stat_activity
            where application_name = 'fowergram-migrate' and query like '%pg_stat_activity%'
                and datname = current_database() and pid <> pg_backend_pid()";
        eventually("it has looked who runs", async || {
            (!stack::rows(&shards.url(1), waits).await.is_empty()).then_some(())
        })
        .await;
        other.close().await.expect("closes");
    });
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(shards.history(1).await, *KNOWN);
    shards.drop().await;
}

/// Begins a transaction that has the locks of one that writes rows of the table.
async fn writing(url: &str, table: &str) -> PgConnection {
    let mut writer = PgConnection::connect(url).await.expect("a connection");
    // Of two that wait for each other, the migration has to give way.
    execute(&mut writer, "set deadlock_timeout = '10min'; begin").await;
    execute(&mut writer, &row_exclusive(table)).await;
    writer
}

fn row_exclusive(table: &str) -> String {
    format!("lock table {table} in row exclusive mode")
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(connection).await.expect("it runs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_gives_way_to_transactions_and_runs_again() {
    let shards = Unmigrated::new("locked").await;
    let config = stack::shards(vec![format!("s0={}", shards.url(0)).parse().expect("an address")]);
    stack::migrate(&config).await;
    // One that changes two tables that there were before. Those after it are taken back first.
    let lists = KNOWN.iter().rposition(|name| name.ends_with("_lists")).expect("a migration") + 1;
    let (known, later) = KNOWN.split_at(lists);
    let down = u32::try_from(later.len()).expect("few");
    for report in migrate::run(&config, Step::Down(down)).await {
        report.result.expect("they are taken back");
    }
    let applied = KNOWN[lists - 1..].join(", ");
    // The way back first, because it needs a migration that is applied.
    for (step, done) in [(Step::Down(1), "took back 1".to_owned()), (Step::Up, format!("applied {applied}"))]
    {
        // The migration changes both tables. The writer needs the one that it has locked when it meets the other.
        let mut writer = writing(&shards.url(0), "inbox").await;
        let (told, mut attempts) = tokio::sync::mpsc::unbounded_channel();
        let tell = move |message: &str| told.send(message.to_owned()).expect("somebody listens");
        let (mut reports, ()) =
            tokio::join!(migrate::run_reporting(&config, step, LOCK_WAIT, &tell), async {
                for _ in 0..2 {
                    let message = attempts.recv().await.expect("an attempt fails");
                    assert!(message.starts_with("s0: "), "{message}");
                    assert!(
                        message.contains("canceling statement due to lock timeout; trying again in "),
                        "{message}"
                    );
                }
                execute(&mut writer, &row_exclusive("notification_actors")).await;
                execute(&mut writer, "commit").await;
            });
        let report = reports.pop().expect("of the shard");
        assert_eq!(report.result.expect("it runs in the end"), done);
    }
    assert_eq!(shards.history(0).await, *KNOWN);

    for report in migrate::run(&config, Step::Down(down)).await {
        report.result.expect("they are taken back");
    }
    let writer = writing(&shards.url(0), "inbox").await;
    let ended = shards.migrate(&["down", "--lock-wait-seconds=1"]).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let attempts = ended.told.iter().filter(|line| line.contains("trying again")).count();
    assert!(attempts > 0, "{ended:?}");
    assert_eq!(shards.history(0).await, known, "nothing of it is done");
    writer.close().await.expect("closes");
    shards.drop().await;
}

/// The part of `/ready` with this name.
fn part(ready: &Value, name: &str) -> Value {
    let parts = ready["parts"].as_array().expect("parts");
    parts.iter().find(|part| part["name"] == name).unwrap_or_else(|| panic!("no {name}: {ready}")).clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_of_another_version_is_reported() {
    let world = World::new().await;
    let (_, address) = world.api().await;
    world.process(Role::Worker).await;
    let client = Client::new(address);
    let expected = json!({ "name": "schema s2", "healthy": true, "required": false, "detail": null });
    assert_eq!(part(&client.ready().await.1, "schema s2"), expected);

    let shard = stack::connect(&world.shard_url(2)).await;
    let change = async |sql: &str| shard.execute_unprepared(sql).await.expect("it runs");
    change("insert into seaql_migrations values ('m99990101_000099_future', 0)").await;
    let (status, ready) = client.ready().await;
    assert_eq!((status, &ready["status"]), (200, &json!("ready")), "{ready}");
    assert_eq!(part(&ready, "schema s2")["detail"], "newer than this program");

    let last = KNOWN.last().expect("migrations");
    change("delete from seaql_migrations where version = 'm99990101_000099_future'").await;
    change(&format!("delete from seaql_migrations where version = '{last}'")).await;
    let (status, ready) = client.ready().await;
    assert_eq!((status, &ready["status"]), (200, &json!("degraded")), "{ready}");
    assert_eq!(missing(&ready), ["schema s2"]);
    assert_eq!(part(&ready, "schema s2")["detail"], "1 migration pending");

    let setting = world.settings().iter().find(|setting| setting.starts_with("--shards=")).expect("shards");
    let ended = run(&["migrate".to_owned(), "status".to_owned(), setting.clone()], &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(line(ended.output.lines(), 2).ends_with(", 1 pending"), "{ended:?}");
    assert!(line(ended.output.lines(), 1).ends_with(", 0 pending"), "{ended:?}");
    shard.close().await.expect("closes");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_gives_up_what_the_client_has_given_up() {
    let world = World::alone().await;
    let app = world.process_with(Role::Api, &["--shard-statement-timeout-ms=1000"]).await;
    world.process(Role::Worker).await;
    let store = &app.domain().store;
    let slot = Slot::new(0).expect("a slot");
    let shard = store.owner(slot);
    let runs = "select pid from pg_stat_activity
        where query like 'select pg_sleep(600)%' and state = 'active' and pid <> pg_backend_pid()";
    let sleeping = store.read(slot, async |connection| {
        connection.execute_unprepared("select pg_sleep(600)").await.map(|_| ()).map_err(failure)
    });
    let (answer, ()) = tokio::join!(sleeping, async {
        eventually("it runs", async || (!world.rows(shard, runs).await.is_empty()).then_some(())).await;
    });
    assert!(matches!(answer, Err(Error::ShardUnavailable)), "{answer:?}");
    let left = Instant::now();
    eventually("the server has ended it", async || world.rows(shard, runs).await.is_empty().then_some(()))
        .await;
    // Long before its own time-out, because the client is gone.
    assert!(left.elapsed() < Duration::from_secs(4), "{:?}", left.elapsed());

    // A client that is there and does nothing keeps no lock for long.
    let shards = world.settings().iter().find(|setting| setting.starts_with("--shards=")).expect("shards");
    let short = "--shard-statement-timeout-ms=200".to_owned();
    let ended = run(&["migrate".to_owned(), "up".to_owned(), short, shards.clone()], &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let mut idle = PgConnection::connect(&world.shard_url(shard)).await.expect("a connection");
    let limit: String =
        sqlx::query_scalar("show statement_timeout").fetch_one(&mut idle).await.expect("a setting");
    assert_eq!(limit, "1200ms");
    sqlx::raw_sql("begin").execute(&mut idle).await.expect("it begins");
    let pid: i32 =
        sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut idle).await.expect("a number");
    let there = format!("select pid from pg_stat_activity where pid = {pid}");
    eventually("its session is ended", async || world.rows(shard, &there).await.is_empty().then_some(()))
        .await;
    world.close().await;
}

/// A copy of what the command changes.
fn tree() -> tempfile::TempDir {
    let tree = tempfile::tempdir().expect("a folder");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("migration/src");
    let to = tree.path().join("migration/src");
    std::fs::create_dir_all(&to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("a file");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
    tree
}

#[tokio::test]
async fn a_new_migration_is_written_and_listed() {
    let tree = tree();
    let new = async |name: &str| {
        run_in(tree.path(), &["migrate".to_owned(), "new".to_owned(), name.to_owned()], &[]).await
    };
    let list = || std::fs::read_to_string(tree.path().join("migration/src/lib.rs")).expect("a list");
    let before = list();
    let today = Clock::system().now().date();
    let mut number = KNOWN.len();
    for name in ["add_stories", "drop_old_stories"] {
        number += 1;
        let ended = new(name).await;
        assert_eq!((ended.code, &*ended.told), (Some(0), &[][..]), "{ended:?}");
        let date = today.to_string().replace('-', "");
        let module = format!("m{date}_{number:06}_{name}");
        assert_eq!(ended.output, format!("migration/src/{module}.rs\nmigration/src/lib.rs\n"));
        let file = tree.path().join(format!("migration/src/{module}.rs"));
        let written = std::fs::read_to_string(file).expect("the file");
        assert!(written.starts_with("//! ") && written.contains("\ncrate::sql_migration! {\n    up: r\""));
        assert_eq!(written.matches('{').count(), written.matches('}').count());
    }
    // Two lines for each, behind those of the last one, and nothing else is changed.
    let after = list();
    let added: Vec<&str> = after.lines().filter(|line| !before.lines().any(|old| old == *line)).collect();
    let module =
        |name: &str, number: usize| format!("m{}_{number:06}_{name}", today.to_string().replace('-', ""));
    let (one, two) = (module("add_stories", number - 1), module("drop_old_stories", number));
    assert_eq!(
        added,
        [
            format!("mod {one};"),
            format!("mod {two};"),
            format!("            Box::new({one}::Migration),"),
            format!("            Box::new({two}::Migration),"),
        ]
    );
    assert_eq!(after.lines().count(), before.lines().count() + 4);

    for (name, why) in [
        ("AddStories", "no name in snake case"),
        ("add-stories", "no name in snake case"),
        ("../add", "no name in snake case"),
        ("add_stories", "there is a migration add_stories already"),
    ] {
        let ended = new(name).await;
        assert!(ended.code != Some(0) && ended.told.join("\n").contains(why), "{name}: {ended:?}");
    }
    assert_eq!(list(), after);
    let ended = run(&["migrate".to_owned(), "new".to_owned(), "add_more".to_owned()], &[]).await;
    assert!(ended.told.join("\n").contains("run it in the root of the source tree"), "{ended:?}");
}

/// Nothing of a database that can't hold a shard is changed, and one line says how to make it right.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_can_not_hold_a_shard_is_refused() {
    let server = Unmigrated::server();
    server.create_database("refused_admin").await.expect("a database");
    let admin = async |sql: &str| server.execute("refused_admin", sql).await.expect("it runs");
    for (database, encoding) in [("refused_ascii", "SQL_ASCII"), ("refused_latin", "LATIN1")] {
        let options = format!("encoding '{encoding}' lc_collate 'C' lc_ctype 'C' template template0");
        admin(&format!("create database {database} {options}")).await;
        let line = refused(&server.url(database)).await;
        assert!(
            line.contains(&format!("has the encoding {encoding}: make it anew with `create database")),
            "{line}"
        );
    }

    server.create_database("refused").await.expect("a database");
    let url = server.url("refused");
    for (fault, why) in [
        ("alter database refused set search_path = elsewhere, public", "search_path leads to elsewhere"),
        ("alter database refused set search_path = nowhere", "search_path leads to no schema"),
        ("alter database refused set default_transaction_read_only = on", "transactions are read-only"),
    ] {
        server.execute("refused", "create schema if not exists elsewhere").await.expect("it runs");
        admin(fault).await;
        let line = refused(&url).await;
        assert!(line.contains(why) && line.contains("reset"), "{line}");
        admin("alter database refused reset all").await;
    }

    admin("create role refused_stranger login password 'stranger'").await;
    server.execute("refused", "revoke create on schema public from public").await.expect("it runs");
    let mut stranger = url::Url::parse(&url).expect("a URL");
    stranger.set_username("refused_stranger").expect("a name");
    stranger.set_password(Some("stranger")).expect("a password");
    let line = refused(stranger.as_str()).await;
    assert!(line.contains("refused_stranger may not create tables in refused: run `grant create"), "{line}");

    let tables =
        "select count(*)::text as version from pg_tables where schemaname in ('public', 'elsewhere')";
    assert_eq!(stack::rows(&url, tables).await[0]["version"], "0");
    server.execute("refused", "grant create on schema public to refused_stranger").await.expect("it runs");
    let ended = run(&["migrate".into(), "up".into(), format!("--shards=s0={stranger}")], &[]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for database in ["refused", "refused_ascii", "refused_latin"] {
        admin(&format!("drop database {database} with (force)")).await;
    }
    admin("drop role refused_stranger").await;
}

/// What `migrate up` says of a shard there.
async fn refused(url: &str) -> String {
    let ended = run(&["migrate".into(), "up".into(), format!("--shards=s0={url}")], &[]).await;
    assert_eq!((ended.code, &*ended.output), (Some(1), ""), "{ended:?}");
    let [line] = &*ended.told else { panic!("not one line: {ended:?}") };
    line.clone()
}
