//! A release: columns come and go, in every table, while processes of the old program serve every operation.

mod documents;
mod listener;
mod newer;
mod story;

use std::path::Path;
use std::time::Duration;

use fowergram::app::{App, Role};
use fowergram::dev::Pgbouncer;
use fowergram::store::Connection;
use futures_util::future::join_all;
use sea_orm::ConnectionTrait as _;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::harness::client::{Client, Person, text};
use crate::harness::stack::DATABASE;
use crate::harness::{PATIENT, SHARDS, World, serve};
use documents::Documents;
use story::Lane;

/// What a release does to each table, in turn; between two of them everything is done once.
const STEPS: [&str; 5] = [
    "alter table {table} add column probe integer",
    "alter table {table} drop column probe, add column probe text not null default 'constant'",
    "alter table {table} drop column probe",
    // Names that other tables have: what is joined must say whose columns it means.
    "{others}",
    // Not for a release: the results of statements that name their columns change too.
    "{texts}",
];

/// The tables of a shard, and what changes the type of their texts.
const TABLES: &str = "select quote_ident(relname), coalesce((
        select 'alter table ' || quote_ident(relname) || string_agg(
            ' alter column ' || quote_ident(attname) || ' type varchar', ',')
        from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped and atttypid = 'text'::regtype
    ), 'select'), (
        select 'alter table ' || quote_ident(relname) || string_agg(
            distinct ' add column if not exists ' || quote_ident(column_name) || ' integer', ',')
        from information_schema.columns where table_schema = 'public' and table_name <> relname
    )
    from pg_class c where relkind = 'r' and relnamespace = 'public'::regnamespace order by relname";

/// Changes each table of a shard as `migrate up` does: nobody waits long behind who waits for a table.
async fn change(url: &str, step: &str) {
    let mut connection = PgConnection::connect(url).await.expect("the shard answers");
    let run = async |connection: &mut PgConnection, sql: &str| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(connection).await
    };
    run(&mut connection, "set lock_timeout = '250ms'").await.expect("set");
    let tables: Vec<(String, String, String)> =
        sqlx::query_as(TABLES).fetch_all(&mut connection).await.expect("tables");
    for (table, texts, others) in tables {
        let sql = step.replace("{table}", &table).replace("{texts}", &texts).replace("{others}", &others);
        while let Err(error) = run(&mut connection, &sql).await {
            let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
            // Nobody gave the table up in time; those who waited behind go first.
            assert_eq!(code.as_deref(), Some("55P03"), "{sql}: {error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    connection.close().await.expect("closes");
}

/// The statements that a server was sent, from its log.
fn statements(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).expect("a log");
    // A statement goes on over lines that begin with a tab.
    let text = text.replace("\n\t", " ");
    let sent = |line: &str| {
        let (_, sql) = line.split_once("LOG:  execute ").or_else(|| line.split_once("LOG:  statement: "))?;
        Some(sql.to_owned())
    };
    text.lines().filter_map(sent).collect()
}

/// Whether a statement reads all columns that there are, whichever these are.
fn reads_all(sql: &str) -> bool {
    let words: Vec<String> = sql.split_whitespace().map(str::to_lowercase).collect();
    let follows = |word: &str| word == "*" || word.starts_with("*,") || word.starts_with("*\"");
    words.iter().any(|word| word.contains(".*"))
        || words.windows(2).any(|pair| {
            ["select", "returning"].iter().any(|read| pair[0].ends_with(read)) && follows(&pair[1])
        })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_code_runs_while_columns_come_and_go() {
    let world = World::with_replica().await;
    let servers = world.servers().postgres().iter().chain(world.servers().replica());
    for server in servers.clone() {
        // On the primary only: a replica refuses it, and logs what it did from its own start on.
        if server.execute("postgres", "alter system set log_statement = 'all'").await.is_ok() {
            server.execute("postgres", "select pg_reload_conf()").await.expect("read again");
        }
    }
    let poolers = world.servers().poolers().await.expect("PgBouncer is installed");
    join_all(poolers.iter().map(async |pooler| pooler.start().await.expect("PgBouncer starts"))).await;
    let pooled: Vec<String> = poolers
        .iter()
        .enumerate()
        .map(|(index, pooler)| format!("s{index}={}", pooler.url(DATABASE)))
        .collect();
    let pooled = format!("--shards={}", pooled.join(","));
    let settings: [(&str, Vec<&str>); 3] = [
        ("one", vec!["--shard-pool-size=1"]),
        ("eight", vec!["--shard-pool-size=8"]),
        ("pooled", vec![&pooled, "--shard-pool-size=8"]),
    ];
    let documents = Documents::new();
    let mut lanes = Vec::new();
    for (name, own) in &settings {
        let changes = [own.as_slice(), &PATIENT].concat();
        let app = world.process_with(Role::Api, &changes).await;
        world.process_with(Role::Worker, &changes).await;
        lanes.push((*name, serve(&app).await));
    }
    let lanes = join_all(lanes.into_iter().map(|(name, at)| Lane::new(name, at, &world, &documents))).await;

    let began = std::time::Instant::now();
    join_all(lanes.iter().map(|lane| lane.round(0))).await;
    for (number, step) in (1..).zip(STEPS) {
        let urls: Vec<String> = (0..SHARDS).map(|index| world.shard_url(index)).collect();
        let changes = join_all(urls.iter().map(|url| change(url, step)));
        tokio::join!(changes, join_all(lanes.iter().map(|lane| lane.round(number))));
        println!("{step}: {:?}", began.elapsed());
    }
    // What was prepared before the last step.
    join_all(lanes.iter().map(|lane| lane.round(STEPS.len() + 1))).await;
    println!("rounds: {:?}", began.elapsed());

    assert_eq!(documents.unasked(), Vec::<String>::new(), "nobody did these");
    for lane in &lanes {
        println!("{:?}", lane.told());
    }
    let sent: Vec<String> = servers.flat_map(|server| statements(server.log())).collect();
    let all: Vec<&String> = sent.iter().filter(|sql| reads_all(sql)).collect();
    assert!(all.is_empty(), "{} of {} statements name no columns: {:?}", all.len(), sent.len(), all.first());
    for table in tables(&world).await {
        assert!(sent.iter().any(|sql| names(sql, &table)), "no statement was about {table}");
    }
    world.close().await;
    join_all(poolers.iter().map(Pgbouncer::stop)).await;
}

/// Does something with the one session that a process has with a person's shard.
async fn in_session(app: &App, person: &Person, sql: &str) {
    let run = async |connection: Connection| {
        connection.execute_unprepared(sql).await.map(|_| ()).map_err(fowergram::model::Error::internal)
    };
    app.domain().store.read(person.user_id().slot(), run).await.expect("done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_session_has_lost_is_prepared_anew() {
    let world = World::new().await;
    let (app, address) = world.api_with(&["--shard-pool-size=1"]).await;
    world.process(Role::Worker).await;
    let ada = Client::new(address).sign_up("ada").await;
    let post = ada.client.post("mine").await;
    let rename = "mutation ($input: ProfileInput!) { updateProfile(input: $input) { user { fullName } } }";
    let every_name = "do $$ begin
        for number in 1..300 loop
            begin
                execute format('prepare sqlx_s_%s as select 1', number);
            exception when duplicate_prepared_statement then null;
            end;
        end loop; end $$";
    for (turn, harm) in ["deallocate all", every_name, "deallocate all"].into_iter().enumerate() {
        for operation in ["read", "write"] {
            in_session(&app, &ada, harm).await;
            if operation == "read" {
                // A statement that was prepared before, and one that was not.
                let query = "query ($id: ID!) { viewer { email } post(id: $id) { caption } }";
                assert_eq!(ada.client.data(query, json!({ "id": post })).await["post"]["caption"], "mine");
                let more =
                    ["sessions { id }", "notifications { nodes { id } }", "conversations { nodes { id } }"];
                ada.client.data(&format!("{{ viewer {{ {} }} }}", more[turn]), json!({})).await;
            } else {
                let name = format!("Ada {turn}");
                let data = ada.client.data(rename, json!({ "input": { "fullName": name } })).await;
                assert_eq!(data["updateProfile"]["user"]["fullName"], name.as_str());
                ada.comment(&post, None, "still here").await;
            }
        }
    }
    world.close().await;
}

/// The text of all files of a folder of the sources, without comments and line breaks.
fn sources(folder: &Path, texts: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, texts);
        } else {
            let text = std::fs::read_to_string(&path).expect("a file");
            let code = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
            texts.push((path.display().to_string(), code.collect::<Vec<_>>().join(" ")));
        }
    }
}

#[test]
fn no_statement_in_the_sources_reads_all_columns() {
    let mut texts = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store"), &mut texts);
    assert!(texts.len() > 30, "{} files", texts.len());
    let all: Vec<&String> = texts.iter().filter(|(_, text)| reads_all(text)).map(|(path, _)| path).collect();
    assert!(all.is_empty(), "name the columns: {all:#?}");
    for (sql, is_all) in [
        ("select * from users", true),
        ("returning  *", true),
        ("select m.* from members m", true),
        ("select count(*), 2 * 3 from users", false),
    ] {
        assert_eq!(reads_all(sql), is_all, "{sql}");
    }
}

/// What old code would not survive in a migration's text, if there is something.
fn breaks_old_code(sql: &str) -> Option<String> {
    let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
    let sql = lines.collect::<Vec<_>>().join(" ").to_lowercase();
    let clauses = sql.split([',', ';']).map(|clause| clause.split_whitespace().collect::<Vec<_>>().join(" "));
    clauses.into_iter().find(|clause| {
        let adds =
            clause.contains("add column") && clause.contains("not null") && !clause.contains("default");
        let changes =
            clause.contains("alter column") && (clause.contains(" type ") || clause.contains("set not null"));
        adds || changes || clause.contains(" rename ")
    })
}

#[test]
fn no_migration_breaks_the_code_before_it() {
    let mut files = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migration/src")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a file");
        let Some((_, up)) = text.split_once("up: r") else { continue };
        let up = up.split("down: r").next().unwrap_or_default();
        assert_eq!(breaks_old_code(up), None, "{}", path.display());
        files += 1;
    }
    assert!(files > 10, "{files} migrations were read");
    for bad in [
        "alter table users add column age integer not null;",
        "alter table users alter column bio type varchar",
        "alter table users add column x integer, alter column bio set not null",
        "alter table users rename column bio to about",
    ] {
        assert!(breaks_old_code(bad).is_some(), "{bad}");
    }
}

async fn tables(world: &World) -> Vec<String> {
    let rows = world.rows(0, "select table_name from sharded_tables").await;
    rows.iter().map(|row| text(&row["table_name"])).collect()
}

fn names(sql: &str, table: &str) -> bool {
    sql.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == table)
}
