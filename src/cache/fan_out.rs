//! Adds posts to the feeds of many readers, and removes them, with one script.
//!
//! A script handles a few hundred posts: enough to share the cost of a call, and few enough for Redis to serve others in
//! between. It returns positions only of feeds that have listeners.

use std::fmt::Write as _;
use std::sync::LazyLock;

use redis::Script;

use super::{Feeds, MAX_CHANGES, MAX_POSTS, failure};
use crate::model::Result;
use crate::model::id::{PostId, UserId};
use crate::model::stream::Position;

/// The most posts in one script.
const MAX_SCRIPT: usize = 250;
/// How far a feed and its log may exceed their bounds before they are trimmed.
const SLACK: usize = 16;
/// How long a feed counts as listened to, in seconds; listeners renew it every 5 s.
const LISTENED_SECONDS: u64 = 20;

/// Changes of a reader's feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedUpdate {
    pub reader: UserId,
    pub added: Vec<PostId>,
    pub removed: Vec<PostId>,
}

// KEYS of both scripts: the readers' posts; the other keys of a feed begin with the same and lie on the same server.
// Each reader has an argument of its own, the posts' ids, 36 characters each, one behind the other. They return
// {reader's place, generation, n} of the feeds that were changed and are listened to, as one list.

/// The functions of both scripts.
const COMMON: &str = r"
    local live = {}
    for i = 1, #KEYS do live[i] = KEYS[i] .. ':live' end
    live = redis.call('MGET', unpack(live))
    local changed = {}
    local function ids(packed)
        local list = {}
        for at = 1, #packed, 36 do list[#list + 1] = string.sub(packed, at, at + 35) end
        return list
    end
    local function log(i, generation, sign, posts)
        local meta, log = KEYS[i] .. ':meta', KEYS[i] .. ':log'
        local n = redis.call('HINCRBY', meta, 'n', #posts)
        local entries = {}
        for at = 1, #posts do
            local number = n - #posts + at
            entries[2 * at - 1], entries[2 * at] = number, number .. sign .. posts[at]
        end
        redis.call('ZADD', log, unpack(entries))
        local size = redis.call('ZCARD', log)
        if size == #posts then redis.call('PEXPIRE', log, redis.call('PTTL', meta)) end
        if size > MAX_CHANGES + SLACK then redis.call('ZREMRANGEBYRANK', log, 0, -1 - MAX_CHANGES) end
        if live[i] then
            local at = #changed
            changed[at + 1], changed[at + 2], changed[at + 3] = tostring(i), generation, tostring(n)
        end
    end";

/// Adds posts to cached feeds that lack them. A feed whose posts were evicted while its meta key was not is dropped.
const ADD: &str = r"
    for i = 1, #KEYS do
        local feed, meta = KEYS[i], KEYS[i] .. ':meta'
        local known = redis.call('HMGET', meta, 'generation', 'filled')
        if known[1] then
            local posts = ids(ARGV[i])
            if #posts > 1 then
                local scores, new = redis.call('ZMSCORE', feed, unpack(posts)), {}
                for at = 1, #posts do
                    if not scores[at] then new[#new + 1] = posts[at] end
                end
                posts = new
            end
            local members = {}
            for at = 1, #posts do members[2 * at - 1], members[2 * at] = 0, posts[at] end
            if #posts > 0 and redis.call('ZADD', feed, 'NX', unpack(members)) == #posts then
                local size = redis.call('ZCARD', feed)
                if size == #posts and known[2] then
                    redis.call('DEL', feed, meta, feed .. ':log')
                else
                    if size == #posts then
                        redis.call('HSET', meta, 'filled', 1)
                        redis.call('PEXPIRE', feed, redis.call('PTTL', meta))
                    end
                    if size > MAX_POSTS + SLACK then redis.call('ZREMRANGEBYRANK', feed, 0, -1 - MAX_POSTS) end
                    log(i, known[1], '+', posts)
                end
            end
        end
    end
    return changed";

/// Takes posts out of the feeds that have them. A rebuild that is under way must not bring one back, so it is
/// remembered until that ends. A feed whose last post goes is empty, not evicted.
const REMOVE: &str = r"
    for i = 1, #KEYS do
        local feed, meta = KEYS[i], KEYS[i] .. ':meta'
        local known = redis.call('HMGET', meta, 'generation', 'state')
        if known[1] then
            local posts = {}
            for _, post in ipairs(ids(ARGV[i])) do
                local removed = redis.call('ZREM', feed, post)
                if known[2] == 'building' then redis.call('HSET', meta, '-' .. post, 1) end
                if removed == 1 or known[2] == 'building' then posts[#posts + 1] = post end
            end
            if #posts > 0 then
                if redis.call('EXISTS', feed) == 0 then redis.call('HDEL', meta, 'filled') end
                log(i, known[1], '-', posts)
            end
        end
    end
    return changed";

static ADD_SCRIPT: LazyLock<Script> = LazyLock::new(|| script(ADD));
static REMOVE_SCRIPT: LazyLock<Script> = LazyLock::new(|| script(REMOVE));

fn script(body: &str) -> Script {
    let text = format!("{COMMON}{body}");
    let bounds = [("MAX_POSTS", MAX_POSTS), ("MAX_CHANGES", MAX_CHANGES), ("SLACK", SLACK)];
    let text = bounds.iter().fold(text, |text, (name, bound)| text.replace(name, &bound.to_string()));
    Script::new(&text)
}

impl Feeds {
    /// Changes the feeds that are cached, and returns the new positions of those with listeners. Idempotent.
    pub async fn update(&self, updates: &[FeedUpdate]) -> Result<Vec<(UserId, Position)>> {
        let mut changed = Vec::new();
        for (script, posts_of) in [
            (&ADD_SCRIPT, (|update| &update.added) as fn(&FeedUpdate) -> &Vec<PostId>),
            (&REMOVE_SCRIPT, |update| &update.removed),
        ] {
            let mut calls = Calls::new(self, script);
            for update in updates {
                for posts in posts_of(update).chunks(MAX_SCRIPT) {
                    if calls.count + posts.len() > MAX_SCRIPT {
                        changed.extend(calls.make().await?);
                    }
                    calls.add(update.reader, posts);
                }
            }
            changed.extend(calls.make().await?);
        }
        Ok(changed)
    }

    /// Marks these feeds as listened to, for some seconds.
    pub async fn listen(&self, users: &[UserId]) -> Result<()> {
        if users.is_empty() {
            return Ok(());
        }
        let mut pipeline = redis::pipe();
        for user in users {
            let [feed, ..] = self.keys(*user);
            pipeline.set_ex(format!("{feed}:live"), 1, LISTENED_SECONDS).ignore();
        }
        pipeline.query_async(&mut self.connection.clone()).await.map_err(failure)
    }
}

/// Updates that are collected for one call of a script.
struct Calls<'a> {
    feeds: &'a Feeds,
    script: &'a Script,
    readers: Vec<UserId>,
    arguments: Vec<String>,
    /// Posts.
    count: usize,
}

impl<'a> Calls<'a> {
    fn new(feeds: &'a Feeds, script: &'a Script) -> Self {
        Self { feeds, script, readers: Vec::new(), arguments: Vec::new(), count: 0 }
    }

    fn add(&mut self, reader: UserId, posts: &[PostId]) {
        let mut packed = String::with_capacity(36 * posts.len());
        for post in posts {
            write!(packed, "{post}").expect("a String takes all that is written");
        }
        self.readers.push(reader);
        self.arguments.push(packed);
        self.count += posts.len();
    }

    async fn make(&mut self) -> Result<Vec<(UserId, Position)>> {
        if self.readers.is_empty() {
            return Ok(Vec::new());
        }
        let mut invocation = self.script.prepare_invoke();
        for reader in &self.readers {
            let [feed, ..] = self.feeds.keys(*reader);
            invocation.key(feed);
        }
        for argument in &self.arguments {
            invocation.arg(argument);
        }
        let answer: Vec<String> =
            invocation.invoke_async(&mut self.feeds.connection.clone()).await.map_err(failure)?;
        let position = |changed: &[String]| {
            let [place, generation, n] = changed else { return None };
            let reader = self.readers.get(place.parse::<usize>().ok()?.checked_sub(1)?)?;
            Some((*reader, Position { generation: generation.parse().ok()?, n: n.parse().ok()? }))
        };
        let changed = answer.chunks_exact(3).filter_map(position).collect();
        self.readers.clear();
        self.arguments.clear();
        self.count = 0;
        Ok(changed)
    }
}
