//! Up to where in a shard's log each person has written lately.
//!
//! One hash a person, with a field a shard; it lives as long as a replica that is in use may lack what
//! was written. Redis may lose it all, so it also keeps since when it remembers: what is not there counts
//! as « nothing written » only when it would be there.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::ConnectionManager;
use redis::{FromRedisValue, Script, ScriptInvocation};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::connection::{connect, failure};
use crate::config::ServiceConfig;
use crate::model::id::UserId;
use crate::model::wal::{AtLeast, WalPosition};

/// How long a write waits for Redis, and a read before it goes to the primary.
const WITHIN: Duration = Duration::from_millis(500);
/// How long Redis is not asked after it did not answer.
const REST: Duration = Duration::from_secs(1);
/// The retry interval for telling Redis that a position is missing.
const RETRY: Duration = Duration::from_millis(50);

/// KEYS: the person's hash. ARGV: shard, position, how long to keep it (ms).
static NOTE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local known = redis.call('HGET', KEYS[1], ARGV[1])
        if not known or known < ARGV[2] then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
        redis.call('PEXPIRE', KEYS[1], ARGV[3])",
    )
});

/// KEYS: the person's hash, since when. ARGV: shard, how long positions are kept (ms). Returns {} where it
/// remembers for too short a time to know, else {position or ''}.
static READ: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        local since = redis.call('GET', KEYS[2])
        if not since then
            redis.call('SET', KEYS[2], now)
            return {}
        end
        if now - since < tonumber(ARGV[2]) then return {} end
        return {redis.call('HGET', KEYS[1], ARGV[1]) or ''}",
    )
});

/// The positions. Cheap to clone.
#[derive(Clone)]
pub struct Positions(Arc<Inner>);

struct Inner {
    connection: ConnectionManager,
    namespace: String,
    keep: Duration,
    /// A commit could not be noted, and Redis does not know yet that it lacks one.
    missed: Notify,
    /// When Redis did not answer last.
    failed_at: Mutex<Option<Instant>>,
}

impl Positions {
    /// `keep` is longer than a replica that is in use can be behind.
    pub fn open(config: &ServiceConfig, keep: Duration) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(Inner {
            connection: connect(&config.redis)?,
            namespace: config.namespace.to_string(),
            keep,
            missed: Notify::new(),
            failed_at: Mutex::default(),
        })))
    }

    fn keep(&self) -> u64 {
        u64::try_from(self.0.keep.as_millis()).unwrap_or(u64::MAX)
    }

    fn written(&self, by: UserId) -> String {
        format!("{}:written:{by}", self.0.namespace)
    }

    fn since(&self) -> String {
        format!("{}:written:since", self.0.namespace)
    }

    /// Remembers a commit. If Redis can't be written, all processes read from the primaries until the missing
    /// position is no longer needed.
    pub async fn note(&self, by: UserId, shard: &str, position: WalPosition) {
        let mut script = NOTE.prepare_invoke();
        script.key(self.written(by)).arg(shard).arg(position.to_string()).arg(self.keep());
        if self.run::<()>(&script).await.is_none() {
            self.0.missed.notify_one();
        }
    }

    /// Whenever something could not be noted, has Redis say that it remembers from then on only. Ends
    /// never: the caller drops it.
    pub async fn watch(&self) {
        loop {
            self.0.missed.notified().await;
            let mut connection = self.0.connection.clone();
            while redis::cmd("DEL").arg(self.since()).query_async::<()>(&mut connection).await.is_err() {
                sleep(RETRY).await;
            }
        }
    }

    /// What a replica of the shard must have replayed to serve this reader.
    pub async fn of(&self, reader: UserId, shard: &str) -> AtLeast {
        // While it was away from here, this process or another may have had something to note that it lacks.
        if self.failed_within(self.0.keep + REST) {
            return AtLeast::Primary;
        }
        let mut script = READ.prepare_invoke();
        script.key(self.written(reader)).key(self.since()).arg(shard).arg(self.keep());
        match self.run::<Vec<String>>(&script).await.as_deref() {
            Some([text]) if text.is_empty() => AtLeast::Anything,
            Some([text]) => text.parse().map_or(AtLeast::Primary, AtLeast::Position),
            _ => AtLeast::Primary,
        }
    }

    /// `None` where Redis does not answer, or not in time, or did not a moment ago.
    async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Option<T> {
        if self.failed_within(REST) {
            return None;
        }
        let mut connection = self.0.connection.clone();
        let answer = timeout(WITHIN, script.invoke_async(&mut connection)).await;
        let answer = answer.ok().and_then(|answer| answer.map_err(failure).ok());
        if answer.is_none() {
            *self.failed_at() = Some(Instant::now());
        }
        answer
    }

    fn failed_within(&self, time: Duration) -> bool {
        self.failed_at().is_some_and(|at| at.elapsed() < time)
    }

    fn failed_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.failed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
