//! Load on the API: one task a connection, each with its requests made before the clock starts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use memchr::memmem;
use tokio::task::JoinSet;

use crate::http::Connection;

/// An id as text; all are of this length, so that one can be written over another.
pub type Id = [u8; 36];

/// What stands in a request where an id will stand.
pub const PLACEHOLDER: &str = "00000000-0000-7000-8000-000000000000";

/// What stands in a request where an idempotency key will stand, a new one each time.
pub const KEY: &str = "00000000-0000-4000-8000-000000000000";

/// What one connection sends.
pub struct Work {
    /// Sent by turns, each for all ids; only one where ids are not taken in order.
    requests: Vec<Request>,
    current: usize,
    ids: Ids,
}

/// A request as bytes, and where ids stand in it.
struct Request {
    bytes: Vec<u8>,
    places: Vec<usize>,
    keys: Vec<usize>,
}

impl Request {
    fn new(bytes: Vec<u8>) -> Self {
        let places = memmem::find_iter(&bytes, PLACEHOLDER).collect();
        let keys = memmem::find_iter(&bytes, KEY).collect();
        Self { bytes, places, keys }
    }

    fn write(&mut self, id: Option<Id>) -> &[u8] {
        for place in &self.keys {
            let key = uuid::Uuid::from_u128(rand::random());
            key.hyphenated().encode_lower(&mut self.bytes[*place..*place + size_of::<Id>()]);
        }
        if let Some(id) = id {
            for place in &self.places {
                self.bytes[*place..*place + id.len()].copy_from_slice(&id);
            }
        }
        &self.bytes
    }
}

/// The ids that are written in a request's places.
pub enum Ids {
    /// Any of these, each time another.
    AnyOf(Arc<[Id]>),
    /// Each of these once; then there is no more work.
    EachOf(std::vec::IntoIter<Id>),
    /// All of these in order, from `next` on; then again with the next request.
    InTurn { ids: Arc<[Id]>, next: usize, left: usize },
    /// Always this one.
    Only(Id),
    /// The request has no place for an id.
    None,
}

impl Work {
    pub fn new(request: Vec<u8>, ids: Ids) -> Self {
        Self { requests: vec![Request::new(request)], current: 0, ids }
    }

    /// Does something to each of these, in an order that begins anywhere, then undoes it, and so on.
    pub fn by_turns(doing: Vec<u8>, undoing: Vec<u8>, ids: Arc<[Id]>) -> Self {
        let (next, left) = (rand::random_range(0..ids.len()), ids.len());
        let requests = vec![Request::new(doing), Request::new(undoing)];
        Self { requests, current: 0, ids: Ids::InTurn { ids, next, left } }
    }

    /// The next request; `None` when there is no more work.
    pub fn next(&mut self) -> Option<&[u8]> {
        let id = match &mut self.ids {
            Ids::AnyOf(ids) => Some(ids[rand::random_range(0..ids.len())]),
            Ids::EachOf(ids) => Some(ids.next()?),
            Ids::InTurn { ids, next, left } => {
                if *left == 0 {
                    *left = ids.len();
                    self.current = (self.current + 1) % self.requests.len();
                }
                *left -= 1;
                *next = (*next + 1) % ids.len();
                Some(ids[*next])
            }
            Ids::Only(id) => Some(*id),
            Ids::None => None,
        };
        Some(self.requests[self.current].write(id))
    }
}

/// What a run of load came to.
pub struct Load {
    /// Requests a second, over all connections.
    pub rate: f64,
    /// How long requests took, in nanoseconds.
    pub latency: Histogram<u64>,
}

/// Sends what each connection has, for a while. An answer with an error ends it: a fast wrong answer is
/// not worth a measurement.
pub async fn run(address: SocketAddr, works: &mut Vec<Work>, time: Duration) -> anyhow::Result<Load> {
    let mut connections = Vec::new();
    for work in works.drain(..) {
        connections.push((Connection::open(address).await?, work));
    }
    let end = Instant::now() + time;
    let mut tasks = JoinSet::new();
    for (connection, work) in connections {
        tasks.spawn(drive(connection, work, end));
    }
    let mut load = Load { rate: 0.0, latency: histogram()? };
    while let Some(done) = tasks.join_next().await {
        let (work, rate, latency) = done??;
        works.push(work);
        load.rate += rate;
        load.latency.add(latency)?;
    }
    anyhow::ensure!(!load.latency.is_empty(), "there is no work left for the load: prepare more of it");
    Ok(load)
}

async fn drive(
    mut connection: Connection,
    mut work: Work,
    end: Instant,
) -> anyhow::Result<(Work, f64, Histogram<u64>)> {
    let finder = memmem::Finder::new("\"errors\"");
    let mut latency = histogram()?;
    let begin = Instant::now();
    let mut now = begin;
    while now < end {
        let Some(request) = work.next() else { break };
        let reply = connection.send(request).await?;
        if reply.status != 200 || finder.find(reply.body).is_some() {
            anyhow::bail!("status {}: {}", reply.status, String::from_utf8_lossy(reply.body));
        }
        let answered = Instant::now();
        latency.saturating_record(nanoseconds(answered - now));
        now = answered;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
    let count = latency.len() as f64;
    Ok((work, count / (now - begin).as_secs_f64().max(f64::MIN_POSITIVE), latency))
}

/// Up to a minute, to three digits.
pub fn histogram() -> anyhow::Result<Histogram<u64>> {
    Histogram::new_with_max(60_000_000_000, 3).context("a histogram")
}

/// As histograms hold durations.
pub fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_over_each_placeholder_and_used_once() {
        let request = format!("a {PLACEHOLDER} b {PLACEHOLDER}").into_bytes();
        let ids = vec![[b'1'; 36], [b'2'; 36]];
        let mut work = Work::new(request, Ids::EachOf(ids.into_iter()));
        for digit in ["1", "2"] {
            let id = digit.repeat(36);
            assert_eq!(work.next().unwrap(), format!("a {id} b {id}").as_bytes());
        }
        assert!(work.next().is_none());
    }

    #[test]
    fn what_is_done_to_all_is_undone_for_all() {
        let request = |verb: &str| format!("{verb} {PLACEHOLDER}").into_bytes();
        let ids: Arc<[Id]> = vec![[b'1'; 36], [b'2'; 36], [b'3'; 36]].into();
        let mut work = Work::by_turns(request("do"), request("undo"), ids);
        let mut sent: Vec<Vec<u8>> = (0..6).map(|_| work.next().unwrap().to_vec()).collect();
        sent.sort_unstable();
        let expected = ["do", "undo"].into_iter().flat_map(|verb| {
            ["1", "2", "3"].map(|digit| format!("{verb} {}", digit.repeat(36)).into_bytes())
        });
        assert_eq!(sent, expected.collect::<Vec<_>>());
    }

    #[test]
    fn each_request_has_a_key_of_its_own() {
        let mut work = Work::new(KEY.to_owned().into_bytes(), Ids::None);
        let first = work.next().unwrap().to_vec();
        assert!(first != work.next().unwrap() && first != KEY.as_bytes());
    }
}
