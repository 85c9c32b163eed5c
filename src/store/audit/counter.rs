//! Counters, and what they count. Both lie on one shard, so one statement compares them in one snapshot.

use sea_orm::FromQueryResult;
use sea_orm::entity::prelude::*;

use crate::model::Result;
use crate::model::id::UserId;
use crate::store::shard::failure;
use crate::store::{Connection, Tx, log, sql_with};

/// A column that says what could also be counted.
#[derive(Debug)]
pub struct Counter {
    /// Table and column.
    pub name: &'static str,
    table: &'static str,
    /// The primary key, a UUID.
    key: &'static str,
    column: &'static str,
    /// Counts for each key behind `$1`, up to `$2`: `id` and `n`. A key without anything to count may be
    /// left out.
    counted: &'static str,
    /// Which rows `t` are wrong, where `c.n` was counted, or is null.
    wrong: &'static str,
    lock: Lock,
    /// What a mend writes before the counter, for the key `$1`.
    first: &'static [&'static str],
}

/// What those hold who change a counter.
#[derive(Debug)]
enum Lock {
    /// The counter's own row.
    Row,
    /// The row of whom a notification is for, in `receivers`.
    Receiver,
}

/// All counters whose key is an id. Those of what others count come behind these.
pub const COUNTERS: [Counter; 12] = [
    Counter {
        name: "users.post_count",
        table: "users",
        key: "id",
        column: "post_count",
        counted: "select author_id as id, count(*) as n from posts
            where deleted_at is null and author_id > $1 and author_id <= $2 group by 1",
        wrong: "t.state <> 9 and t.post_count <> coalesce(c.n, 0)",
        lock: Lock::Row,
        first: &[],
    },
    Counter {
        name: "users.follower_count",
        table: "users",
        key: "id",
        column: "follower_count",
        counted: "select user_id as id, count(*) as n from followers
            where active and user_id > $1 and user_id <= $2 group by 1",
        wrong: "t.state <> 9 and t.follower_count <> coalesce(c.n, 0)",
        lock: Lock::Row,
        first: &[],
    },
    Counter {
        name: "users.following_count",
        table: "users",
        key: "id",
        column: "following_count",
        counted: "select user_id as id, count(*) as n from following
            where active and user_id > $1 and user_id <= $2 group by 1",
        wrong: "t.state <> 9 and t.following_count <> coalesce(c.n, 0)",
        lock: Lock::Row,
        first: &[],
    },
    Counter {
        name: "posts.like_count",
        table: "posts",
        key: "id",
        column: "like_count",
        counted: "select post_id as id, count(*) as n from likes
            where active and post_id > $1 and post_id <= $2 group by 1",
        wrong: "t.deleted_at is null and t.like_count <> coalesce(c.n, 0)",
        lock: Lock::Row,
        first: &[],
    },
    Counter {
        name: "posts.comment_count",
        table: "posts",
        key: "id",
        column: "comment_count",
        // By the comments that are not replies: only these have an index on their post.
        counted: "select p.post_id as id, count(distinct p.id) + count(r.id) as n
            from comments p left join comments r on r.parent_id = p.id
            where p.parent_id is null and p.post_id > $1 and p.post_id <= $2 group by 1",
        wrong: "t.deleted_at is null and t.comment_count <> coalesce(c.n, 0)",
        lock: Lock::Row,
        first: &[],
    },
    Counter {
        name: "posts.comment_seq",
        table: "posts",
        key: "id",
        column: "comment_seq",
        counted: "select post_id as id, max(n) as n from comments
            where n is not null and post_id > $1 and post_id <= $2 group by 1",
        // One that is ahead stays: listeners may stand there.
        wrong: "t.deleted_at is null and t.comment_seq < c.n",
        lock: Lock::Row,
        first: &[],
    },
    Counter {
        name: "comments.reply_count",
        table: "comments",
        key: "id",
        column: "reply_count",
        counted: "select parent_id as id, count(*) as n from comments
            where parent_id > $1 and parent_id <= $2 group by 1",
        wrong: "t.reply_count <> coalesce(c.n, 0)",
        lock: Lock::Row,
        first: &[],
    },
    Counter {
        name: "conversations.seq",
        table: "conversations",
        key: "id",
        column: "seq",
        counted: "select conversation_id as id, max(seq) as n from messages
            where conversation_id > $1 and conversation_id <= $2 group by 1",
        wrong: "t.seq <> coalesce(c.n, 0)",
        lock: Lock::Row,
        first: &[],
    },
    Counter {
        name: "conversations.change",
        table: "conversations",
        key: "id",
        column: "change",
        counted: "select conversation_id as id, max(change) as n from (
                select conversation_id, change from messages
                union all select conversation_id, greatest(change, joined_change) from members
            ) changes where conversation_id > $1 and conversation_id <= $2 group by 1",
        // Where people come and go, some changes leave no row.
        wrong: "t.change < c.n or (t.kind = 0 and t.change <> c.n)",
        lock: Lock::Row,
        // A counter that is ahead stays: listeners may stand there. The last message takes its number.
        first: &["update messages m set change = k.change from conversations k
            where k.id = $1 and k.kind = 0 and m.change < k.change and m.id = (
                select id from messages where conversation_id = $1 order by change desc limit 1)"],
    },
    Counter {
        name: "notifications.actor_count",
        table: "notifications",
        key: "id",
        column: "actor_count",
        counted: "select notification_id as id, count(*) as n from notification_actors
            where active and notification_id > $1 and notification_id <= $2 group by 1",
        wrong: "t.actor_count <> coalesce(c.n, 0) or (c.n is null and not t.is_read)",
        lock: Lock::Receiver,
        // What nobody caused is hidden, and what is hidden is not unread.
        first: &["update notifications set is_read = true where id = $1 and not exists (
            select from notification_actors where notification_id = $1 and active)"],
    },
    Counter {
        name: "receivers.n",
        table: "receivers",
        key: "user_id",
        column: "n",
        // The log is purged from its old end, so the counter may be ahead of an empty one.
        counted: "select user_id as id, max(n) as n from receiver_log
            where user_id > $1 and user_id <= $2 group by 1",
        wrong: "t.n < c.n",
        lock: Lock::Row,
        first: &[],
    },
    Counter {
        name: "receivers.unread_count",
        table: "receivers",
        key: "user_id",
        column: "unread_count",
        counted: "select user_id as id, count(*) as n from notifications
            where not is_read and actor_count > 0 and user_id > $1 and user_id <= $2 group by 1",
        wrong: "t.unread_count <> coalesce(c.n, 0)",
        lock: Lock::Row,
        first: &[],
    },
];

/// Some rows of a table in the order of their keys.
#[derive(Debug, FromQueryResult)]
pub struct Page {
    pub looked: i64,
    /// The last of their keys; none behind the end.
    pub last: Option<Uuid>,
}

/// The next rows that have the counter.
pub async fn page(connection: &Connection, counter: &Counter, after: Uuid, limit: i64) -> Result<Page> {
    let Counter { table, key, .. } = counter;
    let sql = format!(
        "with page as (select {key} as id from {table} where {key} > $1 order by {key} limit $2)
        select (select count(*) from page) as looked, (select id from page order by id desc limit 1) as last"
    );
    let page = Page::find_by_statement(sql_with(&sql, [after.into(), limit.into()]))
        .one(connection)
        .await
        .map_err(failure)?;
    Ok(page.unwrap_or(Page { looked: 0, last: None }))
}

/// A counter that says something else than its rows.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Drift {
    pub id: Uuid,
    pub stored: i64,
    pub counted: i64,
}

/// The drifted counters of the keys behind `after`, up to `last`.
pub async fn drifts(
    connection: &Connection,
    counter: &Counter,
    after: Uuid,
    last: Uuid,
) -> Result<Vec<Drift>> {
    let Counter { table, key, column, counted, wrong, .. } = counter;
    let sql = format!(
        "select t.{key} as id, t.{column}::bigint as stored, coalesce(c.n, 0)::bigint as counted
        from {table} t left join ({counted}) c on c.id = t.{key}
        where t.{key} > $1 and t.{key} <= $2 and ({wrong}) order by 1"
    );
    Drift::find_by_statement(sql_with(&sql, [after.into(), last.into()]))
        .all(connection)
        .await
        .map_err(failure)
}

/// Counts once more, under the lock that all hold who change the counter, and, if told so, writes what
/// was counted. The drift, if there still is one, and whether it is mended.
pub async fn look_again(tx: &Tx, counter: &Counter, id: Uuid, mend: bool) -> Result<Option<(Drift, bool)>> {
    hold(tx, counter, id).await?;
    let before = Uuid::from_u128(id.as_u128().saturating_sub(1));
    // A statement of its own: it sees what the lock has waited for.
    let Some(drift) = drifts(tx.connection(), counter, before, id).await?.pop() else { return Ok(None) };
    if !mend {
        return Ok(Some((drift, false)));
    }
    let Counter { table, key, column, counted, first, .. } = counter;
    let write = format!(
        "update {table} set {column} = coalesce((select n from ({counted}) c where c.id = $2), 0)
        where {key} = $2"
    );
    for sql in *first {
        tx.connection().execute_raw(sql_with(sql, [id.into()])).await.map_err(failure)?;
    }
    tx.connection().execute_raw(sql_with(&write, [before.into(), id.into()])).await.map_err(failure)?;
    let left = drifts(tx.connection(), counter, before, id).await?;
    Ok(Some((drift, left.is_empty())))
}

#[derive(FromQueryResult)]
struct Receiver {
    user_id: Uuid,
}

async fn hold(tx: &Tx, counter: &Counter, id: Uuid) -> Result<()> {
    match counter.lock {
        Lock::Row => {
            let Counter { table, key, .. } = counter;
            let sql = format!("select from {table} where {key} = $1 for update");
            tx.connection().execute_raw(sql_with(&sql, [id.into()])).await.map_err(failure)?;
        }
        Lock::Receiver => {
            let sql = "select user_id from notifications where id = $1";
            let row = Receiver::find_by_statement(sql_with(sql, [id.into()]))
                .one(tx.connection())
                .await
                .map_err(failure)?;
            if let Some(Receiver { user_id }) = row {
                log::lock(tx, [UserId::from_row(user_id)]).await?;
            }
        }
    }
    Ok(())
}
