//! Groups requests for the same shard, so that they are handled together.
//!
//! Each shard has a queue. Requests that arrive while a group is running go with the next one, so a busier process makes
//! larger groups, not more of them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

use crate::model::trace::common_span;
use crate::model::{Error, Result};

/// The most requests in one group; more wait for the next.
const MAX_GROUP: usize = 64;
/// How many requests of a kind may wait for one shard; more are refused.
const QUEUE: usize = 8 * 1024;
/// How many groups of a kind a shard may be given at once.
const MAX_RUNNING: usize = 4;
/// How long the next group waits for a running one, which may be blocked by a lock that does not concern the others.
const PATIENCE: Duration = Duration::from_millis(25);
/// How often to yield to other tasks before a group is closed, so that more requests can join.
const YIELDS: usize = 2;

/// Work that is done for several requests at once.
pub trait GroupWork: Send + Sync + 'static {
    type Request: Send + 'static;
    type Answer: Send + 'static;

    /// Handles these requests, which belong to one shard, and answers each.
    fn run(&self, group: Vec<Waiting<Self::Request, Self::Answer>>) -> impl Future<Output = ()> + Send;
}

/// A request that waits for its answer.
pub struct Waiting<Q, A> {
    pub request: Q,
    /// Where it was asked for.
    pub span: Span,
    pub answer: oneshot::Sender<Result<A>>,
}

/// The queues of one kind of work, one for each shard.
pub struct Groups<W: GroupWork> {
    queues: Vec<mpsc::Sender<Waiting<W::Request, W::Answer>>>,
}

impl<W: GroupWork> Groups<W> {
    pub fn new(work: W, shards: usize, tasks: &TaskTracker) -> Self {
        let work = Arc::new(work);
        let queues = (0..shards).map(|_| {
            let (queue, waiting) = mpsc::channel(QUEUE);
            tasks.spawn(run(Arc::clone(&work), waiting));
            queue
        });
        Self { queues: queues.collect() }
    }

    /// Has a request done, and waits for its answer. Whoever stops waiting may find it done all the same.
    pub async fn ask(&self, shard: usize, request: W::Request) -> Result<W::Answer> {
        let (answer, answered) = oneshot::channel();
        self.queues[shard]
            .try_send(Waiting { request, span: Span::current(), answer })
            .map_err(|_| Error::ShardUnavailable)?;
        answered.await.map_err(|_| Error::ShardUnavailable)?
    }
}

/// Ends when the last `Groups` is dropped and all groups are done.
async fn run<W: GroupWork>(work: Arc<W>, mut queue: mpsc::Receiver<Waiting<W::Request, W::Answer>>) {
    let mut running = FuturesUnordered::new();
    let mut patience = Instant::now();
    let mut group = Vec::new();
    loop {
        let may_start = running.is_empty() || (running.len() < MAX_RUNNING && patience <= Instant::now());
        tokio::select! {
            biased;
            Some(()) = running.next() => {}
            count = queue.recv_many(&mut group, MAX_GROUP), if may_start => {
                if count == 0 {
                    break;
                }
                fill(&mut queue, &mut group).await;
                let mut group = std::mem::take(&mut group);
                let work = &work;
                running.push(async move {
                    group.retain(|waiting| !waiting.answer.is_closed());
                    if let Some(span) = common_span(group.iter().map(|waiting| &waiting.span)) {
                        work.run(group).instrument(span).await;
                    }
                });
                patience = Instant::now() + PATIENCE;
            }
            () = sleep_until(patience), if !may_start && running.len() < MAX_RUNNING => {}
        }
    }
    while running.next().await.is_some() {}
}

/// As long as tasks that are ready to run bring more requests, they are let in.
async fn fill<T>(queue: &mut mpsc::Receiver<T>, group: &mut Vec<T>) {
    while group.len() < MAX_GROUP {
        for _ in 0..YIELDS {
            tokio::task::yield_now().await;
        }
        let before = group.len();
        while group.len() < MAX_GROUP
            && let Ok(waiting) = queue.try_recv()
        {
            group.push(waiting);
        }
        if group.len() == before {
            return;
        }
    }
}
