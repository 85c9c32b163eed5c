//! A shard's data folder is lost under load, and the shard comes back as docs/OPERATIONS.md says: nothing that was
//! acknowledged is missing, and streams go on.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fowergram::app::Role;
use fowergram::dev::Postgres;
use futures_util::future::join_all;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::harness::binary::{Api, Program, run_within};
use crate::harness::crowd::{Apis, Crowd};
use crate::harness::{PATIENCE, PATIENT, World, eventually};

const LISTENERS: usize = 40;
/// How many requests are made before and after each step.
const REQUESTS: usize = 60;

/// The commands under a heading of docs/OPERATIONS.md, one text for each block.
fn documented(heading: &str) -> Vec<String> {
    let page = include_str!("../docs/OPERATIONS.md");
    let section = page.split("\n## ").flat_map(|chapter| chapter.split("\n### "));
    let section = section.into_iter().find(|section| section.starts_with(&format!("{heading}\n")));
    let blocks = section.unwrap_or_else(|| panic!("no « {heading} »")).split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().expect("an end").to_owned()).collect()
}

/// A command at a server, with the folder of its backup.
fn command(server: &Postgres, script: &str, backup: &Path) -> Command {
    let mut command = Command::from(server.script(script, &[("BACKUP", backup.display().to_string())]));
    command.kill_on_drop(true);
    command
}

/// Runs a command to its end.
async fn run(server: &Postgres, script: &str, backup: &Path) {
    let output = tokio::time::timeout(PATIENCE, command(server, script, backup).output());
    let output = output.await.expect("it ends").expect("it runs");
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A new folder for a backup, beside the server's data: it belongs to the server's user.
async fn new_backup(server: &Postgres, name: &str) -> std::path::PathBuf {
    let folder = server.data().with_file_name(name);
    run(server, "mkdir -p \"$BACKUP/wal\"", &folder).await;
    folder
}

/// Begins to receive the log of a server, and waits until commits wait for it.
async fn receive(server: &Postgres, script: &str, backup: &Path) -> Child {
    let receiver = command(server, script, backup).spawn().expect("it starts");
    let follows = "test \"$(psql --dbname=postgres --no-align --tuples-only --command=\"
        select sync_state from pg_stat_replication where application_name = 'pg_receivewal'\")\" = sync";
    eventually("commits wait for the backup", async || {
        let status = command(server, follows, backup).status().await.expect("it runs");
        status.success().then_some(())
    })
    .await;
    receiver
}

/// The load and what it has done so far.
struct Load {
    requests: AtomicUsize,
    stop: AtomicBool,
}

impl Load {
    const fn new() -> Self {
        Self { requests: AtomicUsize::new(0), stop: AtomicBool::new(false) }
    }

    /// Waits until some more requests are answered.
    async fn goes_on(&self) {
        let until = self.requests.load(Ordering::Relaxed) + REQUESTS;
        eventually("requests are answered", async || {
            (self.requests.load(Ordering::Relaxed) >= until).then_some(())
        })
        .await;
    }

    /// Has the crowd write and listen while this happens, and then checks what each was told.
    async fn during(&self, crowd: &Crowd, apis: [std::net::SocketAddr; 2], story: impl AsyncFnOnce()) {
        let mut writers = crowd.writers(Apis::Breaking(apis));
        let mut ears = JoinSet::new();
        for (number, listener) in crowd.listeners.iter().enumerate() {
            ears.spawn(listener.clone().listen(apis, number));
        }
        let all = async {
            crowd.all_hear(&mut writers).await;
            let write = join_all(writers.iter_mut().map(|writer| writer.write(&self.stop, &self.requests)));
            let story = async {
                self.goes_on().await;
                story().await;
                self.goes_on().await;
                self.stop.store(true, Ordering::Relaxed);
            };
            tokio::join!(write, story);
            crowd.all_have_heard(&mut writers).await;
        };
        tokio::select! {
            () = all => {}
            ended = ears.join_next() => panic!("a listener ended: {ended:?}"),
        }
        ears.shutdown().await;
    }
}

/// Nothing is lost or told wrong, and the data agrees with itself.
async fn check(world: &World, crowd: &Crowd, load: &Load) {
    world.settle().await;
    let heard = crowd.check(world).await;
    println!("{} requests, {heard} events heard", load.requests.load(Ordering::Relaxed));
    let arguments = [&["doctor".to_owned()], world.settings()].concat();
    let doctor = run_within(Duration::from_mins(3), &arguments, &[]).await;
    assert_eq!(doctor.code, Some(0), "{doctor:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_is_restored_from_its_backup_to_the_last_commit() {
    let (backups, restore) = (documented("Backups"), documented("Restoring a shard"));
    let [synchronous, log, base] = &backups[..] else { panic!("{backups:?}") };
    let [put_back, recovered] = &restore[..] else { panic!("{restore:?}") };
    let world = World::alone().await;
    let worker = world.process_with(Role::Worker, &PATIENT).await;
    let this = Program::this();
    let apis = [Api::start(&world, &this, &[]).await, Api::start(&world, &this, &[]).await];
    let addresses = apis.each_ref().map(|api| api.address);
    let server = &world.servers().postgres()[0];
    let crowd = Crowd::gather(addresses[0], LISTENERS).await;

    let backup = new_backup(server, "backup-1").await;
    run(server, synchronous, &backup).await;
    let mut receiver = receive(server, log, &backup).await;
    let load = Load::new();
    let again = std::cell::Cell::new(None);
    load.during(&crowd, addresses, async || {
        run(server, base, &backup).await;
        load.goes_on().await;
        server.kill().await;
        std::fs::remove_dir_all(server.data()).expect("the data is lost");
        receiver.kill().await.expect("it ends");
        run(server, put_back, &backup).await;
        server.start().await.expect("PostgreSQL starts");
        run(server, recovered, &backup).await;
        let backup = new_backup(server, "backup-2").await;
        again.set(Some(receive(server, log, &backup).await));
        run(server, base, &backup).await;
    })
    .await;
    check(&world, &crowd, &load).await;
    drop((apis, worker));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_replica_of_a_lost_shard_takes_its_place() {
    let promotion = documented("Promoting a standby");
    let [promote] = &promotion[..] else { panic!("{promotion:?}") };
    let mut world = World::with_replica().await;
    let this = Program::this();
    let mut worker = this.start("worker", world.settings());
    let mut apis = [Api::start(&world, &this, &[]).await, Api::start(&world, &this, &[]).await];
    let addresses = apis.each_ref().map(|api| api.address);
    let crowd = Crowd::gather(addresses[0], LISTENERS).await;
    let server = &world.servers().postgres()[0];
    server.execute("postgres", "alter system set synchronous_standby_names = 'replica'").await.expect("set");
    server.execute("postgres", "select pg_reload_conf()").await.expect("read again");
    eventually("commits wait for the replica", async || {
        let waits = "select 1 from pg_stat_replication where sync_state = 'sync'";
        (!world.rows(0, waits).await.is_empty()).then_some(())
    })
    .await;

    let load = Load::new();
    load.during(&crowd, addresses, async || {
        server_is_lost(&world).await;
        let replica = world.servers().replica().expect("a replica");
        run(replica, promote, replica.data()).await;
        let changes = world.use_promoted();
        let changes = changes.each_ref().map(String::as_str);
        worker = this.start("worker", world.settings());
        for api in &mut apis {
            api.terminate().await;
            api.start_again(&this, &changes).await;
        }
    })
    .await;
    check(&world, &crowd, &load).await;
    drop((apis, worker));
    world.process(Role::Api).await;
    world.close().await;
}

/// The first shard's primary ends, and its data with it.
async fn server_is_lost(world: &World) {
    let server = &world.servers().postgres()[0];
    server.kill().await;
    std::fs::remove_dir_all(server.data()).expect("the data is lost");
}
