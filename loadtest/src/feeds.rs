//! How fast posts reach feeds: people who all follow one another have posted while no worker ran; one is started.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context;
use redis::aio::MultiplexedConnection;
use serde_json::json;

use crate::api::Api;
use crate::load::{self, Work};
use crate::part;
use crate::population::{FEED, Viewer, follow, prepare_pictures, sign_up};
use crate::stack::Stack;

const LOOK: Duration = Duration::from_millis(100);
/// How long the worker may take, without a delivery.
const WITHIN: Duration = Duration::from_secs(30);
/// How long the people may take to post.
const POSTING: Duration = Duration::from_mins(5);

/// Measures the fan-out of so many posts to the feeds of so many people. A report.
pub async fn measure(stack: &mut Stack, people: usize, posts: usize) -> anyhow::Result<String> {
    stack.serve().await?;
    eprintln!("making {people} people, who follow one another, and {posts} posts");
    let mut viewers = sign_up(stack, people).await?;
    prepare_pictures(stack, &mut viewers, posts.div_ceil(people)).await?;
    follow(stack, &viewers, &[]).await?;
    stack.settle().await;
    for viewer in &viewers {
        // Only feeds that are read are kept.
        Api::connect(stack.api(0), Some(&viewer.token)).await?.call(FEED, json!({})).await?;
    }
    stack.stop_worker().await;
    let mut works: Vec<Work> = viewers.iter_mut().map(part::create_post).collect();
    let posted = load::run(stack.api(0), &mut works, POSTING).await?.latency.len();

    let url = stack.servers().redis().url();
    let mut redis = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    let (before, usage) = (changes(&mut redis, &viewers).await?, stack.usage());
    let all = posted * u64::try_from(people)?;
    eprintln!("bringing {posted} posts to {people} feeds");
    let begin = Instant::now();
    stack.start_worker().await?;
    let (mut done, mut last) = (0, begin);
    while done < all {
        tokio::time::sleep(LOOK).await;
        let now = changes(&mut redis, &viewers).await? - before;
        if now > done {
            (done, last) = (now, Instant::now());
        }
        anyhow::ensure!(last.elapsed() < WITHIN, "{done} of {all} deliveries were made");
    }
    report(all, begin.elapsed(), &stack.usage().since(&usage))
}

/// How many changes all feeds have had.
async fn changes(redis: &mut MultiplexedConnection, viewers: &[Viewer]) -> anyhow::Result<u64> {
    let mut pipe = redis::pipe();
    for viewer in viewers {
        pipe.hget(format!("fowergram:feed:{{{}}}:meta", viewer.id), "n");
    }
    let numbers: Vec<Option<u64>> = pipe.query_async(redis).await?;
    numbers.into_iter().sum::<Option<u64>>().context("a feed is not kept")
}

fn report(deliveries: u64, took: Duration, usage: &crate::stack::Usage) -> anyhow::Result<String> {
    #[expect(clippy::cast_precision_loss, reason = "a count of deliveries is far below 2^52")]
    let count = deliveries as f64;
    let mut text = String::from("| posts to feeds | |\n|---|--:|\n");
    writeln!(text, "| deliveries | {deliveries} |")?;
    writeln!(text, "| deliveries a second | {:.0} |", count / took.as_secs_f64())?;
    for (name, time) in &usage.0 {
        writeln!(text, "| CPU of {name}, for each delivery | {:.2} µs |", time.as_secs_f64() * 1e6 / count)?;
    }
    Ok(text)
}
