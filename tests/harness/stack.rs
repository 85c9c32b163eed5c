//! The servers that tests share, and those that a test has for itself.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use fowergram::config::{Endpoint, ShardConfig};
use fowergram::dev::{Plan, Servers, token_key};
use fowergram::store::migrate::{self, Step};
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, FromQueryResult, Statement,
};

/// The database that is copied for each world; and the one of a world that has its own servers.
pub const DATABASE: &str = "fowergram";

/// The shared servers.
pub struct Stack {
    servers: Servers,
    token_key: PathBuf,
    /// `create database … template …` allows one at a time.
    admin: tokio::sync::Mutex<()>,
}

static STACK: OnceLock<Stack> = OnceLock::new();
static ROOT: OnceLock<PathBuf> = OnceLock::new();
static BROOM: Mutex<Option<Child>> = Mutex::new(None);

/// The folder of this run. When this process ends, however it ends, a small one that outlives it removes
/// the folder.
fn root() -> &'static Path {
    ROOT.get_or_init(|| {
        let root = std::env::temp_dir().join(format!("fowergram-test-{}", std::process::id()));
        std::fs::create_dir_all(&root).expect("a folder for the servers");
        let script = "cat > /dev/null; for i in 1 2 3 4 5 6 7 8 9; do rm -rf -- \"$0\" 2> /dev/null && exit; sleep 1; done";
        let broom = Command::new("sh")
            .args(["-c", script])
            .arg(&root)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("sh runs");
        *BROOM.lock().expect("no panic") = Some(broom);
        root
    })
}

impl Stack {
    /// Starts the servers at the first call.
    pub fn shared() -> &'static Self {
        STACK.get_or_init(|| {
            // A thread of its own, for a test's runtime must not be blocked in.
            let started = std::thread::spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(start())
            });
            started.join().expect("the servers start")
        })
    }

    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    pub fn token_key(&self) -> &Path {
        &self.token_key
    }

    pub async fn create_database(&self, name: &str, template: &str) {
        let _one_at_a_time = self.admin.lock().await;
        let sql = format!("create database {name} template {template}");
        self.servers.postgres()[0].execute("postgres", &sql).await.expect("a database is created");
    }

    pub async fn drop_database(&self, name: &str) {
        let sql = format!("drop database {name} with (force)");
        self.servers.postgres()[0].execute("postgres", &sql).await.expect("a database is dropped");
    }
}

async fn start() -> Stack {
    let dir = root().join("shared");
    let plan = Plan { dir: dir.clone(), clusters: 1, replica: false, durable: false, first_port: None };
    let servers = Servers::start(&plan, |_| ()).await.expect("the servers start");
    let postgres = &servers.postgres()[0];
    postgres.create_database(DATABASE).await.expect("a database");
    // All shards of the template are the one database: the first migrates it, the others find it done.
    let url = postgres.url(DATABASE);
    let endpoint = |index| format!("s{index}={url}").parse().expect("an address");
    migrate(&shards((0..super::SHARDS).map(endpoint).collect())).await;
    let token_key = token_key(&dir).expect("a key");
    std::io::stderr().flush().ok();
    Stack { servers, token_key, admin: tokio::sync::Mutex::new(()) }
}

/// The settings for these shards.
pub fn shards(shards: Vec<Endpoint>) -> ShardConfig {
    ShardConfig {
        shards,
        shard_replicas: Vec::new(),
        shard_replica_max_lag_ms: 10_000,
        shard_direct: Vec::new(),
        shard_pool_size: 2,
        shard_connect_timeout_ms: 5_000,
        shard_statement_timeout_ms: 30_000,
    }
}

/// Migrates all shards.
pub async fn migrate(config: &ShardConfig) {
    for report in migrate::run(config, Step::Up).await {
        report.result.expect("the shard migrates");
    }
}

/// Servers for one test: so many of `PostgreSQL`, and perhaps a replica of the first.
pub async fn start_alone(name: &str, clusters: u8, replica: bool) -> (Servers, PathBuf) {
    let dir = root().join(name);
    let plan = Plan { dir: dir.clone(), clusters, replica, durable: false, first_port: None };
    let servers = Servers::start(&plan, |_| ()).await.expect("the servers start");
    for postgres in servers.postgres() {
        postgres.create_database(DATABASE).await.expect("a database");
    }
    let token_key = token_key(&dir).expect("a key");
    (servers, token_key)
}

/// A connection past the system under test.
#[expect(clippy::disallowed_methods, reason = "a test looks past the system's own pools")]
pub async fn connect(url: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(url);
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.expect("the shard answers")
}

/// Runs statements, one after the other.
pub async fn execute(url: &str, sql: &str) {
    let connection = connect(url).await;
    connection.execute_unprepared(sql).await.expect("the statements run");
    connection.close().await.expect("closes");
}

/// Rows as JSON objects.
pub async fn rows(url: &str, sql: &str) -> Vec<serde_json::Value> {
    let connection = connect(url).await;
    let sql = format!("select to_jsonb(r) as row from ({sql}) r");
    let statement = Statement::from_string(DbBackend::Postgres, sql);
    let rows = connection.query_all_raw(statement).await.expect("the query runs");
    let rows = rows.iter().map(|row| Row::from_query_result(row, "").expect("a row").row).collect();
    connection.close().await.expect("closes");
    rows
}

#[derive(FromQueryResult)]
struct Row {
    row: serde_json::Value,
}
