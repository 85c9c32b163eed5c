//! The system under test: real servers, started once, and a world of its own for each test.

pub mod act;
pub mod binary;
pub mod client;
pub mod crowd;
pub mod events;
pub mod files;
pub mod schema;
pub mod server;
pub mod stack;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use clap::Parser;
use fowergram::app::{App, Role};
use fowergram::config::Config;
use fowergram::dev::Servers;
use fowergram::http;
use fowergram::model::Clock;
use fowergram::model::id::slot_of;
use tokio::net::TcpListener;

use client::{Client, Person};
use stack::Stack;

/// How many shards a world has.
pub const SHARDS: usize = 4;

/// Longest wait for something that must come to pass. Reached only by a test that fails.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Time-outs that are longer than a busy machine takes for anything.
pub const PATIENT: [&str; 3] =
    ["--shard-connect-timeout-ms=20000", "--shard-statement-timeout-ms=40000", "--request-timeout-ms=50000"];

/// One test's system: four shard databases, a namespace and a bucket that no other test uses.
pub struct World {
    pub clock: Clock,
    name: String,
    /// The addresses of the shards' primaries.
    shards: Vec<String>,
    settings: Vec<String>,
    apps: std::sync::Mutex<Vec<App>>,
    own: Option<Servers>,
}

#[derive(Parser)]
struct Parsed {
    #[command(flatten)]
    config: Config,
}

static WORLDS: AtomicU32 = AtomicU32::new(0);

impl World {
    /// A world on the shared servers.
    pub async fn new() -> Self {
        Self::of(stack::DATABASE).await
    }

    /// The same with empty databases.
    pub async fn unmigrated() -> Self {
        Self::of("template0").await
    }

    async fn of(template: &str) -> Self {
        let stack = Stack::shared();
        let name = format!("t{}", WORLDS.fetch_add(1, Ordering::Relaxed));
        let mut shards = Vec::new();
        for index in 0..SHARDS {
            let database = format!("{name}_s{index}");
            stack.create_database(&database, template).await;
            shards.push(stack.servers().postgres()[0].url(&database));
        }
        let mut world = Self::on(stack.servers(), name, &shards, stack.token_key());
        // Nothing fails here: a machine that is busy with other tests must not look like a shard that is down.
        world.settings.extend(PATIENT.map(String::from));
        world
    }

    /// A world on servers of its own, for tests that stop or break them: a `PostgreSQL` server for each
    /// shard.
    pub async fn alone() -> Self {
        Self::with_servers(false).await
    }

    /// The same, with a streaming replica of the first shard.
    pub async fn with_replica() -> Self {
        Self::with_servers(true).await
    }

    async fn with_servers(replica: bool) -> Self {
        let name = format!("a{}", WORLDS.fetch_add(1, Ordering::Relaxed));
        let (servers, token_key) =
            stack::start_alone(&name, u8::try_from(SHARDS).expect("few shards"), replica).await;
        let shards: Vec<String> =
            servers.postgres().iter().map(|postgres| postgres.url(stack::DATABASE)).collect();
        let mut world = Self::on(&servers, name, &shards, &token_key);
        stack::migrate(&world.config().shards).await;
        world.own = Some(servers);
        world
    }

    /// A world of these shards on these servers.
    pub fn on(servers: &Servers, name: String, shards: &[String], token_key: &std::path::Path) -> Self {
        let storage = servers.storage();
        storage.create_bucket(&format!("bucket-{name}")).expect("a bucket");
        let mut settings = vec![
            "--environment=development".to_owned(),
            "--port=0".to_owned(),
            "--worker-port=0".to_owned(),
            shards_setting(shards),
            "--shard-pool-size=4".to_owned(),
            format!("--namespace={name}"),
            format!("--redis-url={}", servers.redis().url()),
            format!("--nats-url={}", servers.nats().url()),
            format!("--s3-endpoint={}", storage.endpoint()),
            format!("--s3-bucket=bucket-{name}"),
            format!("--s3-access-key-id={}", storage.access_key()),
            format!("--s3-secret-access-key={}", storage.secret_key()),
            format!("--token-key-file={}", token_key.display()),
        ];
        let replica = servers.replica_url(stack::DATABASE).map(|url| format!("--shard-replicas=s0={url}"));
        settings.extend(replica);
        let (clock, shards) = (Clock::system(), shards.to_vec());
        Self { clock, name, shards, settings, apps: std::sync::Mutex::default(), own: None }
    }

    /// Puts the replica of the first shard, which was promoted, in the place of its primary; the settings that changes.
    pub fn use_promoted(&mut self) -> [String; 2] {
        let replica = self.servers().replica().expect("a replica");
        self.shards[0] = replica.url(stack::DATABASE);
        let none = "--shard-replicas=";
        let changes = [shards_setting(&self.shards), none.to_owned()];
        replace(&mut self.settings, &changes.each_ref().map(String::as_str));
        // A flag can't be empty, as a variable can.
        self.settings.retain(|setting| setting != none);
        changes
    }

    /// The servers of a world that has its own.
    pub fn servers(&self) -> &Servers {
        self.own.as_ref().unwrap_or_else(|| Stack::shared().servers())
    }

    /// The settings under which a process joins this world.
    pub fn settings(&self) -> &[String] {
        &self.settings
    }

    pub fn config(&self) -> Config {
        self.config_with(&[])
    }

    /// The same with some settings replaced, as in `--access-token-seconds=1`.
    pub fn config_with(&self, changes: &[&str]) -> Config {
        let arguments = std::iter::once("test".to_owned()).chain(self.settings_with(changes));
        Parsed::try_parse_from(arguments).expect("good settings").config
    }

    /// The same settings as a command takes them.
    pub fn settings_with(&self, changes: &[&str]) -> Vec<String> {
        let mut settings = self.settings.clone();
        replace(&mut settings, changes);
        settings
    }

    /// Starts one more process of the system, in this one: it shares nothing with the others but the
    /// servers.
    pub async fn process(&self, role: Role) -> App {
        self.process_with(role, &[]).await
    }

    pub async fn process_with(&self, role: Role, changes: &[&str]) -> App {
        let app =
            App::start(self.config_with(changes), role, self.clock.clone()).await.expect("a process starts");
        self.apps.lock().expect("no panic").push(app.clone());
        app
    }

    /// Starts an API process and gives its address.
    pub async fn api(&self) -> (App, SocketAddr) {
        self.api_with(&[]).await
    }

    pub async fn api_with(&self, changes: &[&str]) -> (App, SocketAddr) {
        let app = self.process_with(Role::Api, changes).await;
        let address = serve(&app).await;
        (app, address)
    }

    /// An API process and a worker; a client of the first.
    pub async fn system(&self) -> Client {
        let (_, address) = self.api().await;
        self.process(Role::Worker).await;
        Client::new(address)
    }

    /// Signs up people until one lies on each of so many different shards.
    pub async fn people_on_different_shards(&self, client: &Client, count: usize) -> Vec<Person> {
        let app = self.apps.lock().expect("no panic")[0].clone();
        let mut people: Vec<Person> = Vec::new();
        for number in 0..200 {
            let person = client.sign_up(&format!("person{number}")).await;
            let shard = |person: &Person| app.domain().store.owner(person.user_id().slot());
            if !people.iter().any(|known| shard(known) == shard(&person)) {
                people.push(person);
            }
            if people.len() == count {
                return people;
            }
        }
        panic!("200 people on fewer than {count} shards");
    }

    /// Somebody whose rows lie on this shard.
    pub async fn person_on(&self, client: &Client, shard: usize) -> Person {
        let app = self.apps.lock().expect("no panic")[0].clone();
        for _ in 0..200 {
            let number = WORLDS.fetch_add(1, Ordering::Relaxed);
            let person = client.sign_up(&format!("somebody{number}")).await;
            if app.domain().store.owner(person.user_id().slot()) == shard {
                return person;
            }
        }
        panic!("200 people, and none on shard {shard}");
    }

    /// The shard on which the thing with this id lies.
    pub fn owner(&self, id: &str) -> usize {
        let app = self.apps.lock().expect("no panic")[0].clone();
        app.domain().store.owner(slot_of(id.parse().expect("an id")))
    }

    /// The address of one of this world's databases, for a test that looks into it.
    pub fn shard_url(&self, index: usize) -> String {
        self.shards[index].clone()
    }

    /// Rows of one shard, as JSON objects.
    pub async fn rows(&self, index: usize, sql: &str) -> Vec<serde_json::Value> {
        stack::rows(&self.shard_url(index), sql).await
    }

    /// Changes one shard past the system under test.
    pub async fn execute(&self, index: usize, sql: &str) {
        stack::execute(&self.shard_url(index), sql).await;
    }

    /// Waits until no event waits in any outbox, then checks that none had to be given up.
    pub async fn settle(&self) {
        eventually("the outboxes are empty", async || {
            for index in 0..SHARDS {
                if !self.rows(index, "select id from outbox").await.is_empty() {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    /// Stops the processes and takes the databases away. A world that is not closed is taken away with
    /// the servers.
    pub async fn close(self) {
        self.settle().await;
        let apps = std::mem::take(&mut *self.apps.lock().expect("no panic"));
        let dead = fowergram::worker::dead::list(&apps[0].domain().bus, 10).await;
        assert!(dead.as_ref().is_ok_and(Vec::is_empty), "events were given up: {dead:?}");
        for app in &apps {
            app.stop().await;
        }
        // A stream reserves its largest size on the server that the worlds share.
        apps[0].domain().bus.delete_streams().await.expect("the streams are deleted");
        if let Some(servers) = self.own {
            servers.stop().await;
        } else {
            for index in 0..SHARDS {
                Stack::shared().drop_database(&format!("{}_s{index}", self.name)).await;
            }
        }
    }
}

fn shards_setting(urls: &[String]) -> String {
    let shards: Vec<String> = urls.iter().enumerate().map(|(index, url)| format!("s{index}={url}")).collect();
    format!("--shards={}", shards.join(","))
}

/// Replaces settings, as in `--access-token-seconds=1`, by those of the same names.
fn replace(settings: &mut Vec<String>, changes: &[&str]) {
    let name = |setting: &str| setting.split('=').next().unwrap_or_default().to_owned();
    let replaced: Vec<String> = changes.iter().map(|change| name(change)).collect();
    settings.retain(|setting| !replaced.contains(&name(setting)));
    settings.extend(changes.iter().map(|change| (*change).to_owned()));
}

/// Serves an API process on a free port.
pub async fn serve(app: &App) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let served = app.clone();
    app.tasks().spawn(async move { http::serve(served, listener).await.expect("serves") });
    address
}

/// Asks again and again until there is an answer; fails the test when there never is.
pub async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "it never came to pass that {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
