//! Redis: the readers' feeds, and up to where each person has written lately. A cache and nothing more:
//! whatever is lost here is rebuilt from the shards, or read from the primaries.
//!
//! A feed is three keys of one hash slot: the post ids (a sorted set in which the ids' own order, which is
//! that of time, is the order), what is known of the feed (generation, number of changes, state), and the
//! last changes by number, for live streams. Every change is one script, so that readers never see half
//! of one.

mod connection;
mod fan_out;
mod positions;

use std::sync::LazyLock;

use redis::aio::ConnectionManager;
use redis::{Script, ScriptInvocation};

use crate::config::ServiceConfig;
use crate::model::feed::{FeedChange, FeedChanges, Skeleton};
use crate::model::id::{PostId, UserId};
use crate::model::stream::Position;
use crate::model::{Clock, Result, ServerFault};
use connection::{connect, failure};
pub use fan_out::FeedUpdate;
pub use positions::Positions;

/// The most posts in a feed.
pub const MAX_POSTS: usize = 800;
/// The most changes that are kept for streams that resume.
const MAX_CHANGES: usize = 500;
/// How long the feed of somebody who does not read it is kept, in seconds.
const TTL_SECONDS: usize = 7 * 86_400;
/// How long a rebuild may take before another may begin, in seconds.
const REBUILD_SECONDS: usize = 15;

/// The feeds. Cheap to clone: one multiplexed connection, which comes back by itself.
#[derive(Clone)]
pub struct Feeds {
    connection: ConnectionManager,
    namespace: String,
    clock: Clock,
}

/// What a rebuild begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebuild {
    /// It is ours, under this generation.
    Begun(u64),
    /// Another process is at it, or the feed is there.
    Taken,
}

// KEYS of all scripts: posts, meta, log.

/// Begins a rebuild. ARGV: generation, seconds. Returns 1, or 0 where a feed or a rebuild is there.
static BEGIN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
        redis.call('DEL', KEYS[1], KEYS[3])
        redis.call('HSET', KEYS[2], 'generation', ARGV[1], 'n', 0, 'state', 'building')
        redis.call('EXPIRE', KEYS[2], ARGV[2])
        return 1",
    )
});

/// Ends a rebuild. ARGV: generation, now (unix ms), seconds, most posts, post … Returns 1, or 0 where the
/// feed was given up meanwhile.
static FINISH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"if redis.call('HGET', KEYS[2], 'generation') ~= ARGV[1] then return 0 end
        for i = 5, #ARGV do
            if redis.call('HEXISTS', KEYS[2], '-' .. ARGV[i]) == 0 then redis.call('ZADD', KEYS[1], 0, ARGV[i]) end
        end
        redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[4])
        local n = redis.call('HGET', KEYS[2], 'n')
        redis.call('DEL', KEYS[2])
        redis.call('HSET', KEYS[2], 'generation', ARGV[1], 'n', n, 'state', 'ready', 'built', ARGV[2])
        if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[2], 'filled', 1) end
        for i = 1, 3 do redis.call('EXPIRE', KEYS[i], ARGV[3]) end
        return 1",
    )
});

/// Reads a page and keeps the feed alive. ARGV: highest member (as in ZRANGE BYLEX), limit, seconds.
/// Returns {} where there is no feed, else {state, built, post …}. Redis may evict the posts and keep what
/// is known of them: such a feed is given up.
static READ: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"local meta = redis.call('HMGET', KEYS[2], 'state', 'built', 'filled')
        if not meta[1] then return {} end
        if meta[1] == 'ready' and meta[3] and redis.call('EXISTS', KEYS[1]) == 0 then
            redis.call('DEL', KEYS[2], KEYS[3])
            return {}
        end
        local posts = redis.call('ZRANGE', KEYS[1], ARGV[1], '-', 'BYLEX', 'REV', 'LIMIT', 0, ARGV[2])
        if meta[1] == 'ready' then
            for i = 1, 3 do redis.call('EXPIRE', KEYS[i], ARGV[3]) end
        end
        table.insert(posts, 1, meta[2] or '0')
        table.insert(posts, 1, meta[1])
        return posts",
    )
});

impl Feeds {
    /// Connects when it is first used, so that a process starts while Redis is down.
    pub fn open(config: &ServiceConfig, clock: Clock) -> anyhow::Result<Self> {
        let connection = connect(&config.redis)?;
        Ok(Self { connection, namespace: config.namespace.to_string(), clock })
    }

    fn keys(&self, user: UserId) -> [String; 3] {
        let feed = format!("{}:feed:{{{user}}}", self.namespace);
        [feed.clone(), format!("{feed}:meta"), format!("{feed}:log")]
    }

    fn prepare<'a>(&self, script: &'a Script, user: UserId) -> ScriptInvocation<'a> {
        let mut invocation = script.prepare_invoke();
        for key in self.keys(user) {
            invocation.key(key);
        }
        invocation
    }

    /// A page of a feed, newest first, from behind `before`; `None` where there is no feed.
    pub async fn read(&self, user: UserId, before: Option<PostId>, limit: usize) -> Result<Option<Skeleton>> {
        let from = before.map_or_else(|| "+".to_owned(), |post| format!("({post}"));
        let mut invocation = self.prepare(&READ, user);
        invocation.arg(from).arg(limit).arg(TTL_SECONDS);
        let answer: Vec<String> =
            invocation.invoke_async(&mut self.connection.clone()).await.map_err(failure)?;
        let [state, built, posts @ ..] = answer.as_slice() else { return Ok(None) };
        Ok(Some(Skeleton {
            posts: posts.iter().filter_map(|post| PostId::parse("post", post).ok()).collect(),
            built_at: built.parse().unwrap_or(0),
            rebuilding: state == "building",
            degraded: false,
        }))
    }

    /// Begins the rebuild of a feed that is not there.
    pub async fn begin(&self, user: UserId) -> Result<Rebuild> {
        // Never 0, which is the generation of streams that are read from rows.
        let generation = rand::random_range(1..=u64::from(u32::MAX));
        let mut invocation = self.prepare(&BEGIN, user);
        invocation.arg(generation).arg(REBUILD_SECONDS);
        let begun: bool = invocation.invoke_async(&mut self.connection.clone()).await.map_err(failure)?;
        Ok(if begun { Rebuild::Begun(generation) } else { Rebuild::Taken })
    }

    /// Ends a rebuild with the posts that the shards have. What was fanned out meanwhile stays.
    pub async fn finish(&self, user: UserId, generation: u64, posts: &[PostId]) -> Result<bool> {
        let mut invocation = self.prepare(&FINISH, user);
        invocation.arg(generation).arg(self.clock.unix_millis()).arg(TTL_SECONDS).arg(MAX_POSTS);
        for post in posts {
            invocation.arg(post.to_string());
        }
        invocation.invoke_async(&mut self.connection.clone()).await.map_err(failure)
    }

    /// Gives a feed up: the next read rebuilds it.
    pub async fn forget(&self, user: UserId) -> Result<()> {
        let keys = self.keys(user);
        redis::cmd("DEL").arg(&keys).query_async(&mut self.connection.clone()).await.map_err(failure)
    }

    /// The number of a feed's last change; `None` where there is no feed.
    pub async fn position(&self, user: UserId) -> Result<Option<Position>> {
        let [_, meta, _] = self.keys(user);
        let (generation, n): (Option<u64>, Option<i64>) = redis::cmd("HMGET")
            .arg(meta)
            .arg(&["generation", "n"])
            .query_async(&mut self.connection.clone())
            .await
            .map_err(failure)?;
        Ok(generation.zip(n).map(|(generation, n)| Position { generation, n }))
    }

    /// The changes of a feed behind a position, oldest first; or where to go on, if some are gone.
    pub async fn changes(&self, user: UserId, after: Position, limit: usize) -> Result<FeedChanges> {
        let [_, meta, log] = self.keys(user);
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        pipeline.cmd("HMGET").arg(meta).arg(&["generation", "n"]);
        pipeline.cmd("ZRANGE").arg(log).arg(format!("({}", after.n)).arg("+inf").arg("BYSCORE");
        pipeline.arg("LIMIT").arg(0).arg(limit);
        let ((generation, n), entries): ((Option<u64>, Option<i64>), Vec<String>) =
            pipeline.query_async(&mut self.connection.clone()).await.map_err(failure)?;
        let now = Position { generation: generation.unwrap_or(0), n: n.unwrap_or(0) };
        let changes: Vec<FeedChange> = entries.iter().filter_map(|entry| parse_change(entry)).collect();
        let first = changes.first().map_or(now.n + 1, |change| change.n);
        if now.generation != after.generation || after.n > now.n || first > after.n + 1 {
            return Ok(FeedChanges::Gap(now));
        }
        Ok(FeedChanges::Changes(changes))
    }

    /// Whether Redis can be used, and why not.
    pub async fn ready(&self) -> Result<(), ServerFault> {
        connection::ready(&self.connection).await
    }

    /// Forgets all feeds of this namespace, as a restart of Redis does.
    pub async fn clear(&self) -> Result<()> {
        let mut connection = self.connection.clone();
        let pattern = format!("{}:feed:*", self.namespace);
        let mut cursor = 0_u64;
        loop {
            let (next, keys): (u64, Vec<String>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(&pattern)
                .arg("COUNT")
                .arg(1000)
                .query_async(&mut connection)
                .await
                .map_err(failure)?;
            if !keys.is_empty() {
                redis::cmd("DEL").arg(&keys).query_async::<()>(&mut connection).await.map_err(failure)?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }
}

/// An entry of the log: `<n>+<post>` for one that came, `<n>-<post>` for one that went.
fn parse_change(entry: &str) -> Option<FeedChange> {
    let sign = entry.find(['+', '-'])?;
    let (n, post) = entry.split_at(sign);
    let removed = post.starts_with('-');
    Some(FeedChange { n: n.parse().ok()?, post: PostId::parse("post", &post[1..]).ok()?, removed })
}
