//! Everything breaks while people write and listen; at the end each listener knows what is stored.

mod listener;
mod system;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fowergram::app::Role;
use futures_util::future::join_all;
use tokio::task::JoinSet;

use self::listener::{FOLDER, Node};
use self::system::break_things;
use crate::harness::binary::{Api, Program};
use crate::harness::crowd::{Apis, Crowd};
use crate::harness::{PATIENT, World};

const LISTENERS: usize = 50;
/// How long each thing breaks once.
const ROUND: u64 = 15;

/// Half a minute and more is for `make torture`.
fn seconds() -> u64 {
    std::env::var("TORTURE_SECONDS").map_or(ROUND, |seconds| seconds.parse().expect("TORTURE_SECONDS"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_know_what_is_stored_whatever_breaks() {
    let rounds = usize::try_from(seconds().div_ceil(ROUND)).expect("few");
    let without_nats = Duration::from_secs(if rounds > 1 { 5 } else { 2 });
    let world = World::alone().await;
    world.process_with(Role::Worker, &PATIENT).await;
    let this = Program::this();
    let mut apis = [Api::start(&world, &this, &[]).await, Api::start(&world, &this, &[]).await];
    let addresses = [apis[0].address, apis[1].address];
    let crowd = Crowd::gather(addresses[0], LISTENERS).await;
    let (stop, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut writers = crowd.writers(Apis::Breaking(addresses));

    let mut ears = JoinSet::new();
    // Half of them here, half with the clients that people use.
    let (own, clients) = crowd.listeners.split_at(LISTENERS / 2);
    ears.spawn(Node::start(clients.to_vec(), addresses).await.listen());
    for (number, listener) in own.iter().enumerate() {
        ears.spawn(listener.clone().listen(addresses, number));
    }
    let story = async {
        crowd.all_hear(&mut writers).await;
        let write = join_all(writers.iter_mut().map(|writer| writer.write(&stop, &done)));
        let harm = async {
            break_things(&world, &mut apis, rounds, without_nats).await;
            stop.store(true, Ordering::Relaxed);
        };
        tokio::join!(write, harm);
        crowd.all_have_heard(&mut writers).await;
    };
    tokio::select! {
        () = story => {}
        ended = ears.join_next() => panic!("a listener ended: {ended:?}"),
    };
    ears.shutdown().await;

    let heard = crowd.check(&world).await;
    println!("{} things done, {heard} events heard", done.load(Ordering::Relaxed));
    drop(writers);
    drop(apis);
    world.close().await;
}

/// The documented way to resume is the one that was tortured.
#[test]
fn the_documented_client_is_the_tested_one() {
    let code = std::fs::read_to_string(format!("{FOLDER}/resume.mjs")).expect("the code");
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/API.md")).expect("the page");
    assert!(
        page.contains(&format!("```js\n{code}```\n")),
        "docs/API.md does not show tests/torture/resume.mjs"
    );
}
