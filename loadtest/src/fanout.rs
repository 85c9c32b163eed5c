//! One event to many sockets, and what a socket that only listens holds.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt, stream};
use hdrhistogram::Histogram;
use memchr::memmem;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::api::{Api, text};
use crate::live::send;
use crate::load::{histogram, nanoseconds};
use crate::machine::{self, Memory};
use crate::population::{Viewer, a_post, sign_up};
use crate::report::percentiles;
use crate::socket::Socket;
use crate::stack::Stack;

const PEOPLE: usize = 50;
/// Open when memory is measured.
const IDLE: usize = 5_000;
/// Open when events are.
const EARS: usize = 2_000;
const EVENTS: usize = 100;
const WARM_UP: usize = 10;
/// How many sockets are opened at once.
const AT_ONCE: usize = 32;
const WITHIN: Duration = Duration::from_secs(30);

const MESSAGES: &str = "subscription($id: ID!) { messageAdded(conversationId: $id) {
    cursor ... on MessageEvent { change message { id seq text sender { username } } } } }";
const NOTIFICATIONS: &str = "subscription { newNotification {
    cursor ... on NotificationEvent { notification { id kind } } } }";

/// How long events took, in nanoseconds.
struct Times {
    answer: Histogram<u64>,
    half: Histogram<u64>,
    last: Histogram<u64>,
}

impl Times {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { answer: histogram()?, half: histogram()?, last: histogram()? })
    }

    fn add(&mut self, begin: Instant, answered: Option<Instant>, mut arrived: Vec<Instant>) {
        arrived.sort_unstable();
        let half = arrived.get(arrived.len() / 2).copied();
        for (series, moment) in
            [(&mut self.answer, answered), (&mut self.half, half), (&mut self.last, arrived.last().copied())]
        {
            let took = moment.map(|moment| moment.saturating_duration_since(begin));
            if let Some(took) = took {
                series.saturating_record(nanoseconds(took));
            }
        }
    }
}

/// Measures both with processes that have done nothing before; a report.
pub async fn measure(stack: &mut Stack) -> anyhow::Result<String> {
    stack.serve().await?;
    stack.run(&["seed", "--users", "10", "--posts", "10", "--images", "0"]).await?;
    let people = sign_up(stack, PEOPLE).await?;
    let post = a_post(stack).await?;
    let mut api = Api::connect(stack.api(0), Some(&people[0].token)).await?;
    let first = send(&mut api, json!({ "postId": post }), "Hello").await?;
    let thread = text(&first, "/sendMessage/conversation/id")?;

    let (own, sockets) = idle(stack, 1, &people, NOTIFICATIONS, &json!({})).await?;
    drop(sockets);
    stack.serve_more("api-3", &[]).await?;
    let (shared, mut sockets) = idle(stack, 2, &people, MESSAGES, &json!({ "id": thread })).await?;
    let api = Api::connect(stack.api(2), Some(&people[0].token)).await?;
    let rest = sockets.split_off(EARS);
    let (ears, others) = (Ears::spawn(sockets), Ears::spawn(rest));
    let mut post = Post { api, thread, sent: 0 };
    eprintln!("events to {IDLE} sockets, then to {EARS}");
    let mut all = Times::new()?;
    for _ in 0..WARM_UP {
        post.tell(&[&ears, &others], &mut all).await?;
    }
    drop(others);
    stack.settle().await;
    let mut times = Times::new()?;
    let (pid, mut work) = (stack.pid(2)?, Duration::ZERO);
    for _ in 0..EVENTS {
        let before = machine::cpu_time(&[pid]);
        post.tell(&[&ears], &mut times).await?;
        work += machine::cpu_time(&[pid]).saturating_sub(before);
    }
    let frame = ears.last_frame();
    drop(ears);
    let plain = bare(&frame, EARS).await?;
    let memory = [("each person's own notifications", own), ("one conversation", shared)];
    report(&all, &times, &plain, work, &memory)
}

/// Somebody who writes to a thread.
struct Post {
    api: Api,
    thread: String,
    sent: usize,
}

impl Post {
    /// Sends one message and waits until all have heard it.
    async fn tell(&mut self, ears: &[&Ears], times: &mut Times) -> anyhow::Result<()> {
        self.sent += 1;
        let words = format!("message {} of many", self.sent);
        let begin = Instant::now();
        let sent = async {
            send(&mut self.api, json!({ "conversationId": self.thread }), &words).await?;
            anyhow::Ok(Instant::now())
        };
        let (answered, arrived) = tokio::try_join!(sent, try_join_all(ears.iter().map(|ears| ears.all())))?;
        times.add(begin, Some(answered), arrived.concat());
        Ok(())
    }
}

/// What a socket holds at its process, in bytes of RSS.
struct Held {
    open: u64,
    subscribed: u64,
}

/// Opens sockets at a process that has done nothing before, then subscribes on each.
async fn idle(
    stack: &Stack,
    process: usize,
    people: &[Viewer],
    query: &str,
    variables: &Value,
) -> anyhow::Result<(Held, Vec<Socket>)> {
    eprintln!("opening {IDLE} sockets");
    let (pid, at) = (stack.pid(process)?, stack.api(process));
    let rss = async || {
        machine::settle(&[pid]).await;
        Memory::of(pid).map(|memory| memory.rss).context("memory is told by Linux only")
    };
    let tokens = (0..IDLE).map(|number| people[number % people.len()].token.as_str());
    // The first of everything is not a socket's.
    for viewer in people {
        Socket::open(at, &viewer.token).await?.subscribe(query, variables).await?;
    }
    let before = rss().await?;
    let open = stream::iter(tokens.map(|token| Socket::open(at, token)));
    let mut sockets: Vec<Socket> =
        open.buffer_unordered(AT_ONCE).try_collect().await.context("a socket could not be opened")?;
    let opened = rss().await?;
    let subscribe = sockets.iter_mut().map(|socket| socket.subscribe(query, variables));
    stream::iter(subscribe).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    let subscribed = rss().await?;
    let each = |rss: u64| rss.saturating_sub(before) / IDLE as u64;
    Ok((Held { open: each(opened), subscribed: each(subscribed) }, sockets))
}

/// Sockets that wait for one event after the other.
struct Ears {
    heard: Arc<Heard>,
    count: usize,
    tasks: JoinSet<anyhow::Result<()>>,
}

#[derive(Default)]
struct Heard {
    arrived: Mutex<(Vec<Instant>, String)>,
    more: Notify,
}

impl Ears {
    fn spawn(sockets: Vec<Socket>) -> Self {
        let (heard, count) = (Arc::<Heard>::default(), sockets.len());
        let mut tasks = JoinSet::new();
        for mut socket in sockets {
            let heard = Arc::clone(&heard);
            tasks.spawn(async move {
                loop {
                    let message = socket.text().await?;
                    let is_event = memmem::find(message.as_bytes(), b"\"type\":\"next\"").is_some();
                    anyhow::ensure!(is_event, "not an event: {message}");
                    let now = Instant::now();
                    let mut arrived = heard.arrived.lock().unwrap_or_else(PoisonError::into_inner);
                    arrived.0.push(now);
                    if arrived.0.len() == count {
                        message.as_str().clone_into(&mut arrived.1);
                        heard.more.notify_one();
                    }
                }
            });
        }
        Self { heard, count, tasks }
    }

    /// When each got the next event, in order.
    async fn all(&self) -> anyhow::Result<Vec<Instant>> {
        let waited = timeout(WITHIN, self.heard.more.notified()).await;
        let arrived =
            std::mem::take(&mut self.heard.arrived.lock().unwrap_or_else(PoisonError::into_inner).0);
        waited.with_context(|| format!("{} of {} sockets got an event", arrived.len(), self.count))?;
        anyhow::ensure!(self.tasks.len() == self.count, "a socket ended");
        Ok(arrived)
    }

    fn last_frame(&self) -> String {
        self.heard.arrived.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

/// The machine's limit: a loop that writes the same frame to as many plain connections, read in the same way.
async fn bare(payload: &str, count: usize) -> anyhow::Result<Times> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let (mut writers, mut sockets) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let reader = tokio::net::TcpStream::connect(listener.local_addr()?).await?;
        let (writer, _) = listener.accept()?;
        writer.set_nodelay(true)?;
        writers.push(writer);
        sockets.push(Socket::plain(reader).await);
    }
    let (go, orders) = mpsc::channel::<()>();
    let frame = frame(payload)?;
    let writing = std::thread::spawn(move || write_all(&mut writers, &frame, &orders));
    let ears = Ears::spawn(sockets);
    let (mut warm, mut times) = (Times::new()?, Times::new()?);
    for number in 0..WARM_UP + EVENTS {
        let begin = Instant::now();
        go.send(())?;
        let arrived = ears.all().await?;
        let times = if number < WARM_UP { &mut warm } else { &mut times };
        times.add(begin, None, arrived);
    }
    drop(go);
    writing.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    Ok(times)
}

fn write_all(writers: &mut [TcpStream], frame: &[u8], orders: &mpsc::Receiver<()>) -> std::io::Result<()> {
    while orders.recv().is_ok() {
        for writer in &mut *writers {
            writer.write_all(frame)?;
        }
    }
    Ok(())
}

/// A server's text frame of 126 to 65,535 bytes.
fn frame(payload: &str) -> anyhow::Result<Vec<u8>> {
    let length = u16::try_from(payload.len()).ok().filter(|length| *length >= 126);
    let length = length.context("an event has 126 to 65,535 bytes")?;
    Ok([&[0x81, 126], length.to_be_bytes().as_slice(), payload.as_bytes()].concat())
}

fn report(
    all: &Times,
    times: &Times,
    plain: &Times,
    work: Duration,
    memory: &[(&str, Held)],
) -> anyhow::Result<String> {
    let mut text = format!("| one event to {EARS} sockets, {EVENTS} times | p50 | p99 |\n|---|--:|--:|\n");
    let of_all = format!("the same to the last of {IDLE} sockets, {WARM_UP} times");
    for (name, series) in [
        ("from the mutation's sending to its answer", &times.answer),
        ("from the mutation's sending to the median socket", &times.half),
        ("from the mutation's sending to the last socket", &times.last),
        (&of_all, &all.last),
        ("bare loop of writes, to the median connection", &plain.half),
        ("bare loop of writes, to the last connection", &plain.last),
    ] {
        let (p50, p99) = percentiles(series);
        writeln!(text, "| {name} | {p50} | {p99} |")?;
    }
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds within a minute are far below 2^52")]
    let ratio = times.last.value_at_quantile(0.5) as f64 / plain.last.value_at_quantile(0.5) as f64;
    writeln!(text, "| the last socket by the last connection, p50 | **{ratio:.1}** | |")?;
    let each = work.as_nanos() / (EVENTS * EARS) as u128;
    writeln!(
        text,
        "\nThe API process works {}.{:02} µs for an event and socket.\n",
        each / 1000,
        each % 1000 / 10
    )?;
    writeln!(text, "| RSS of the API process for each of {IDLE} idle sockets | open | subscribed |")?;
    writeln!(text, "|---|--:|--:|")?;
    let kibibytes = |bytes: u64| format!("{}.{} KiB", bytes >> 10, bytes % 1024 * 10 / 1024);
    for (name, Held { open, subscribed }) in memory {
        writeln!(text, "| {name} | {} | {} |", kibibytes(*open), kibibytes(*subscribed))?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_bare_frame_is_read_as_an_event() {
        let event = json!({ "type": "next", "payload": "x".repeat(200) });
        let times = bare(&event.to_string(), 5).await.unwrap();
        assert_eq!(times.last.len(), EVENTS as u64);
    }
}
