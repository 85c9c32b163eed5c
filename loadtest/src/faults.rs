//! What one shard's fault does to the others: the same load before, during and after it.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::future::try_join_all;
use memchr::memmem;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::api;
use crate::http::Connection;
use crate::load::{Id, Ids, PLACEHOLDER, Work, histogram, nanoseconds};
use crate::population::{CREATE_POST, Population, Viewer};
use crate::stack::Stack;

const SHARDS: u16 = 4;
const SLOTS: u16 = 4096;
/// How long a client whose request failed waits before the next one, as a polite one does.
const PAUSE: Duration = Duration::from_millis(50);
const OWN: &str = "query($id: ID!) { viewer { email } user(id: $id) { username bio postCount } }";

/// What is done to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Killed,
    Frozen,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Before,
    During,
    After,
    Over,
}

/// One request.
struct Asked {
    shard: u16,
    phase: Phase,
    took: Duration,
    failed: bool,
}

/// Kills the first viewer's shard under the viewers' load, then stops its clock; both for so long. A report.
pub async fn measure(stack: &Stack, population: &mut Population, time: Duration) -> anyhow::Result<String> {
    let mut report = String::from(
        "| | when | the others' requests | p50 | p99 | errors | its own users' requests | p99 | errors |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for fault in [Fault::Killed, Fault::Frozen] {
        eprintln!("{fault:?}: {} s before, during and after", time.as_secs());
        let pictures = population.viewers.iter_mut().map(|viewer| {
            let half = viewer.pictures.len().div_ceil(2);
            viewer.pictures.split_off(viewer.pictures.len() - half)
        });
        let pictures = pictures.collect();
        let (asked, back) = run(stack, &population.viewers, pictures, fault, time).await?;
        let dead = shard_of(&population.viewers[0].id)?;
        for phase in [Phase::Before, Phase::During, Phase::After] {
            let of = |own: bool| {
                asked.iter().filter(move |asked| asked.phase == phase && (asked.shard == dead) == own)
            };
            let (others, own) = (Figures::of(of(false))?, Figures::of(of(true))?);
            writeln!(
                report,
                "| {fault:?} | {phase:?} | {} | {} | {} | {} | {} | {} | {} |",
                others.count, others.p50, others.p99, others.failed, own.count, own.p99, own.failed
            )?;
        }
        writeln!(report, "| | served again after {} ms | | | | | | | |", back.as_millis())?;
    }
    Ok(report)
}

struct Figures {
    count: u64,
    failed: usize,
    p50: String,
    p99: String,
}

impl Figures {
    fn of<'a>(asked: impl Iterator<Item = &'a Asked>) -> anyhow::Result<Self> {
        let (mut latency, mut failed) = (histogram()?, 0);
        for one in asked {
            latency.saturating_record(nanoseconds(one.took));
            failed += usize::from(one.failed);
        }
        let at = |quantile| {
            let took = Duration::from_nanos(latency.value_at_quantile(quantile));
            format!("{:.2} ms", took.as_secs_f64() * 1e3)
        };
        Ok(Self { count: latency.len(), failed, p50: at(0.5), p99: at(0.99) })
    }
}

/// The requests, and how long after the end of the fault the shard's users were served again.
async fn run(
    stack: &Stack,
    viewers: &[Viewer],
    pictures: Vec<Vec<Id>>,
    fault: Fault,
    time: Duration,
) -> anyhow::Result<(Vec<Asked>, Duration)> {
    let server = &stack.servers().postgres()[usize::from(shard_of(&viewers[0].id)?)];
    let (phase, now) = watch::channel(Phase::Before);
    let load = try_join_all(
        viewers.iter().zip(pictures).map(|(viewer, pictures)| client(stack, viewer, pictures, now.clone())),
    );
    let harm = async {
        sleep(time).await;
        phase.send_replace(Phase::During);
        match fault {
            Fault::Killed => {
                server.kill().await;
                sleep(time).await;
                server.start().await?;
            }
            Fault::Frozen => {
                let frozen = server.freeze();
                sleep(time).await;
                drop(frozen);
            }
        }
        let over = Instant::now();
        let probe = api::request(Some(&viewers[0].token), "{ viewer { email } }", &json!({}));
        let mut connection = Connection::open(stack.api(0)).await?;
        while has_failed(connection.send(&probe).await?.body) {
            sleep(Duration::from_millis(5)).await;
        }
        let back = over.elapsed();
        phase.send_replace(Phase::After);
        sleep(time).await;
        phase.send_replace(Phase::Over);
        anyhow::Ok(back)
    };
    let (asked, back) = tokio::try_join!(load, harm)?;
    Ok((asked.into_iter().flatten().collect(), back))
}

/// Reads three times what is on the own shard, posts, and so on.
async fn client(
    stack: &Stack,
    viewer: &Viewer,
    pictures: Vec<Id>,
    now: watch::Receiver<Phase>,
) -> anyhow::Result<Vec<Asked>> {
    let (shard, token) = (shard_of(&viewer.id)?, Some(viewer.token.as_str()));
    let input = json!({ "idempotencyKey": PLACEHOLDER, "mediaIds": [PLACEHOLDER] });
    let reading = api::request(token, OWN, &json!({ "id": viewer.id }));
    let writing = api::request(token, CREATE_POST, &json!({ "input": input }));
    let mut posts = Work::new(writing, Ids::EachOf(pictures.into_iter()));
    let mut connection = Connection::open(stack.api(0)).await?;
    let mut asked = Vec::new();
    for number in 0_u64.. {
        let phase = *now.borrow();
        if phase == Phase::Over {
            break;
        }
        let request = match number % 4 {
            3 => posts.next().context("there are no pictures left: give each viewer more")?,
            _ => &reading,
        };
        let begin = Instant::now();
        let failed = has_failed(connection.send(request).await?.body);
        asked.push(Asked { shard, phase, took: begin.elapsed(), failed });
        if failed {
            sleep(PAUSE).await;
        }
    }
    Ok(asked)
}

fn has_failed(body: &[u8]) -> bool {
    memmem::find(body, b"\"errors\"").is_some()
}

/// The index of the shard that has a user: the id's slot in the even map of a new cluster.
fn shard_of(id: &str) -> anyhow::Result<u16> {
    let digits = id.get(15..18).context("an id is too short")?;
    Ok(u16::from_str_radix(digits, 16)? / (SLOTS / SHARDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_which_shard() {
        for (digits, shard) in [("000", 0), ("3ff", 0), ("400", 1), ("fff", 3)] {
            assert_eq!(shard_of(&format!("01a1f93a-de08-7{digits}-8753-972389cbcd87")).unwrap(), shard);
        }
    }
}
