//! The demo network, as `fowergram seed` and `make dev` make it.

use std::time::Duration;

use fowergram::app::Role;

use crate::harness::binary::run_within;
use crate::harness::{SHARDS, World};

/// How many users, posts and comments there are.
async fn counts(world: &World) -> [i64; 3] {
    let mut sums = [0; 3];
    for index in 0..SHARDS {
        for (sum, table) in sums.iter_mut().zip(["users", "posts", "comments"]) {
            let rows = world.rows(index, &format!("select count(*) from {table}")).await;
            *sum += rows[0]["count"].as_i64().expect("a number");
        }
    }
    sums
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_network_is_made_once() {
    let world = World::new().await;
    world.process(Role::Worker).await;
    let command: Vec<String> = ["seed", "--users=12", "--posts=20", "--images=0"].map(str::to_owned).into();
    let command: Vec<String> = command.into_iter().chain(world.settings().iter().cloned()).collect();
    let first = run_within(Duration::from_mins(5), &command, &[]).await;
    assert_eq!(first.code, Some(0), "{first:?}");
    let made = counts(&world).await;
    // With the one that says that all is there.
    assert!(made[0] == 13 && made[1] == 20 && made[2] > 0, "{made:?}");
    let again = run_within(Duration::from_mins(5), &command, &[]).await;
    assert_eq!((again.code, counts(&world).await), (Some(0), made), "{again:?}");
    world.close().await;
}
