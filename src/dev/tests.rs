use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use sqlx::{Connection, PgConnection};

use super::{Plan, Servers, port, system, token_key};

/// A folder that is gone with the test; readable by the user of the servers.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("fowergram-{}", uuid::Uuid::new_v4().simple())))
    }

    fn plan(&self, clusters: u8, replica: bool) -> Plan {
        Plan { dir: self.0.clone(), clusters, replica, durable: false, first_port: None }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

async fn start(plan: &Plan) -> Servers {
    let begin = Instant::now();
    let servers = Servers::start(plan, |line| println!("{:?} {line}", begin.elapsed())).await.unwrap();
    println!("{:?} all", begin.elapsed());
    servers
}

async fn number(url: &str, sql: &'static str) -> Result<i32, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query_scalar(sql).fetch_one(&mut connection).await
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.expect(what);
}

#[tokio::test]
async fn all_servers_answer_keep_their_data_and_end() {
    let folder = Folder::new();
    let plan = folder.plan(1, true);
    let servers = start(&plan).await;

    let [postgres] = servers.postgres() else { panic!("one server was asked for") };
    postgres.create_database("app").await.unwrap();
    postgres.create_database("app").await.unwrap();
    postgres.execute("app", "create table kept as select 7 as n").await.unwrap();
    let replica = servers.replica_url("app").unwrap();
    until("the replica follows", async || number(&replica, "select n from kept").await.ok() == Some(7)).await;

    let client = redis::Client::open(servers.redis().url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("SET").arg("a").arg(1).exec_async(&mut connection).await.unwrap();

    let stream = || async_nats::jetstream::stream::Config {
        name: "S".to_owned(),
        subjects: vec!["s.>".to_owned()],
        ..Default::default()
    };
    let jetstream = async_nats::jetstream::new(async_nats::connect(servers.nats().url()).await.unwrap());
    jetstream.create_stream(stream()).await.unwrap();
    jetstream.publish("s.1", "hello".into()).await.unwrap().await.unwrap();

    servers.storage().create_bucket("pictures").unwrap();
    let bucket = format!("{}/pictures/none", servers.storage().endpoint());
    let answer = reqwest::Client::new().get(&bucket).header("origin", "http://a.test").send().await.unwrap();
    assert_eq!(answer.status(), 403, "nobody reads without a signature");
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");

    let pid = postgres.pid().unwrap();
    servers.stop().await;
    assert_eq!(system::command_line(pid), None, "nothing runs on");

    let servers = start(&plan).await;
    assert_eq!(number(&servers.postgres()[0].url("app"), "select n from kept").await.unwrap(), 7);
    assert_eq!(number(&servers.replica_url("app").unwrap(), "select n from kept").await.unwrap(), 7);
    let jetstream = async_nats::jetstream::new(async_nats::connect(servers.nats().url()).await.unwrap());
    let mut stream = jetstream.get_stream("S").await.unwrap();
    assert_eq!(stream.info().await.unwrap().state.messages, 1);
    servers.stop().await;
}

#[tokio::test]
async fn servers_fail_alone_and_come_back() {
    let folder = Folder::new();
    let servers = start(&folder.plan(2, false)).await;
    let [one, two] = servers.postgres() else { panic!("two servers were asked for") };

    one.kill().await;
    assert!(number(&one.url("postgres"), "select 1").await.is_err());
    assert_eq!(number(&two.url("postgres"), "select 1").await.unwrap(), 1);
    one.start().await.unwrap();
    assert_eq!(number(&one.url("postgres"), "select 1").await.unwrap(), 1);

    let mut connection = PgConnection::connect(&two.url("postgres")).await.unwrap();
    let frozen = two.freeze();
    let ask = async |connection| sqlx::query_scalar::<_, i32>("select 1").fetch_one(connection).await;
    let asked = tokio::time::timeout(Duration::from_millis(300), ask(&mut connection)).await;
    assert!(asked.is_err(), "a frozen server does not answer");
    drop(frozen);
    assert_eq!(number(&two.url("postgres"), "select 1").await.unwrap(), 1);

    servers.nats().stop().await;
    assert!(async_nats::connect(servers.nats().url()).await.is_err());
    servers.nats().start().await.unwrap();
    async_nats::connect(servers.nats().url()).await.unwrap();

    servers.storage().stop();
    assert!(reqwest::get(servers.storage().endpoint()).await.is_err());
    servers.storage().start().unwrap();
    assert_eq!(reqwest::get(servers.storage().endpoint()).await.unwrap().status(), 403);
    servers.stop().await;
}

#[tokio::test]
async fn a_taken_port_and_a_taken_folder_are_named() {
    let folder = Folder::new();
    let taken = port::reserve(None, &["a test".to_owned()]).unwrap().remove(0);
    let port = port::of(&taken).unwrap();
    let plan = Plan { first_port: Some(port - 1), ..folder.plan(1, false) };
    let error = Servers::start(&plan, |_| ()).await.map(drop).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("port {port} is taken and Redis wants it: stop what listens there, or choose other ports")
    );
    assert!(!folder.0.join("postgres/cluster-1").exists(), "nothing was begun");

    let servers = start(&folder.plan(1, false)).await;
    let error = Servers::start(&folder.plan(1, false), |_| ()).await.map(drop).unwrap_err().to_string();
    let expected =
        format!("is in use by process {}: stop that one first, or choose another folder", std::process::id());
    assert!(error.ends_with(&expected), "{error}");
    servers.stop().await;
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why() {
    let folder = Folder::new();
    start(&folder.plan(1, false)).await.stop().await;
    std::fs::remove_file(folder.0.join("postgres/cluster-1/global/pg_control")).unwrap();
    let error = Servers::start(&folder.plan(1, false), |_| ()).await.map(drop).unwrap_err().to_string();
    assert!(error.starts_with("PostgreSQL 1 did not start: "), "{error}");
    assert!(error.contains("pg_control") && !error.contains('\n'), "{error}");
}

/// Not a test: the process that the next one kills.
#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "run by the test below, which kills it"]
async fn a_launcher_to_be_killed() {
    let dir = std::env::var_os(KILLED_DIR).unwrap().into();
    let plan = Plan { dir, clusters: 2, replica: true, durable: false, first_port: None };
    // From a thread that ends at once, as those of tests do.
    let servers = std::thread::spawn(move || {
        tokio::runtime::Runtime::new().unwrap().block_on(Servers::start(&plan, |_| ())).unwrap()
    });
    let servers = servers.join().unwrap();
    println!("\n{UP}");
    std::future::pending::<()>().await;
    drop(servers);
}

#[cfg(target_os = "linux")]
const KILLED_DIR: &str = "LAUNCHER_DIR";
#[cfg(target_os = "linux")]
const UP: &str = "all servers run";

#[cfg(target_os = "linux")]
#[tokio::test]
async fn nothing_outlives_a_killed_launcher() {
    use std::io::{BufRead, BufReader};

    let folder = Folder::new();
    let mut launcher = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "dev::tests::a_launcher_to_be_killed", "--ignored", "--nocapture"])
        .env(KILLED_DIR, &folder.0)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(launcher.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == UP), "the servers start");
    let processes = std::fs::read_dir(folder.0.join("pids")).unwrap().map(|entry| {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let (pid, marker) = text.split_once('\n').unwrap();
        (pid.parse::<u32>().unwrap(), marker.to_owned())
    });
    let processes: Vec<_> = processes.collect();
    let run = || {
        let run = |(pid, marker): &(u32, String)| {
            system::command_line(*pid).is_some_and(|line| line.contains(marker))
        };
        processes.iter().filter(|process| run(process)).count()
    };
    assert_eq!(run(), 5, "three PostgreSQL servers, Redis and NATS");

    launcher.kill().unwrap();
    launcher.wait().unwrap();
    // At once, while they are still on their way out.
    let servers = start(&folder.plan(2, true)).await;
    assert_eq!(run(), 0);
    servers.stop().await;
}

#[tokio::test]
async fn a_broken_replica_is_made_anew() {
    let folder = Folder::new();
    let servers = start(&folder.plan(1, true)).await;
    servers.postgres()[0].execute("postgres", "create table kept as select 7 as n").await.unwrap();
    servers.stop().await;
    std::fs::remove_file(folder.0.join("postgres/replica/global/pg_control")).unwrap();
    let servers = start(&folder.plan(1, true)).await;
    assert_eq!(number(&servers.replica_url("postgres").unwrap(), "select n from kept").await.unwrap(), 7);
    servers.stop().await;
}

#[test]
fn the_token_key_is_made_once() {
    let folder = Folder::new();
    let file = token_key(&folder.0).unwrap();
    let pem = std::fs::read_to_string(&file).unwrap();
    SigningKey::from_pkcs8_pem(&pem).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_to_string(token_key(&folder.0).unwrap()).unwrap(), pem);
}

#[test]
fn a_start_can_be_sent_to_another_thread() {
    fn sendable<T: Send>(_: T) {}
    let plan = Folder::new().plan(1, false);
    sendable(Servers::start(&plan, |_| ()));
}
