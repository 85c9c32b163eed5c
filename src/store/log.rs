//! Each user's numbered log of what their streams deliver. Numbers have no gaps, because rows are added under
//! the lock on the user's row in `receivers`. Old rows are purged.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::FromQueryResult;
use sea_orm::entity::prelude::*;
use time::OffsetDateTime;

use super::shard::failure;
use super::statement::column;
use super::{Connection, Tx, sql_with};
use crate::model::id::{EventId, UserId};
use crate::model::stream::LogTopic;
use crate::model::{Error, Result};

/// A row of a user's log.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Row {
    pub user_id: Uuid,
    pub n: i64,
    /// A number of [`LogTopic`].
    pub topic: i16,
    /// The subject: a notification, a message, a conversation that was read, or a follower.
    pub ref_id: Uuid,
    /// The user who has read.
    pub actor_id: Option<Uuid>,
    /// For a message: the change of its conversation up to which the user was informed before. For a read
    /// marker: the number of the message.
    pub version: i64,
    pub at: OffsetDateTime,
}

impl Row {
    pub fn topic(&self) -> Option<LogTopic> {
        LogTopic::from_column(self.topic)
    }
}

/// The rows of a user's log after `after`.
pub async fn after(connection: &Connection, user: UserId, after: i64, limit: i64) -> Result<Vec<Row>> {
    let sql = "select user_id, n, topic, ref_id, actor_id, version, at from receiver_log
        where user_id = $1 and n > $2 order by n limit $3";
    Row::find_by_statement(sql_with(sql, [user.uuid().into(), after.into(), limit.into()]))
        .all(connection)
        .await
        .map_err(failure)
}

/// A new log row. The fields are those of [`Row`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    pub user: UserId,
    pub topic: LogTopic,
    pub about: Uuid,
    pub actor: Option<UserId>,
    pub version: i64,
    /// The event that a notification was made for.
    pub event: Option<EventId>,
}

#[derive(FromQueryResult)]
struct Locked {
    count: i64,
}

/// Locks the logs of these users, all on one shard, until the transaction ends.
pub async fn lock(tx: &Tx, users: impl IntoIterator<Item = UserId>) -> Result<()> {
    let users: BTreeSet<Uuid> = users.into_iter().map(UserId::uuid).collect();
    let users: Vec<Uuid> = users.into_iter().collect();
    // Always in the same order, to avoid deadlocks. A lock writes no new version of a row, as an upsert would.
    let sql = "with locked as materialized (
            select user_id from receivers where user_id = any($1) order by user_id for no key update
        ), made as (
            insert into receivers (user_id) select id from unnest($1::uuid[]) as asked (id)
            where id not in (select user_id from locked) order by id
            on conflict (user_id) do nothing returning user_id
        )
        select (select count(*) from locked) + (select count(*) from made) as count";
    loop {
        let locked = Locked::find_by_statement(sql_with(sql, [users.clone().into()]))
            .one(tx.connection())
            .await
            .map_err(failure)?;
        let count = locked.map_or(0, |locked| locked.count);
        // A statement does not see a row that another transaction has made since it began; the next one does.
        if usize::try_from(count).is_ok_and(|count| count >= users.len()) {
            return Ok(());
        }
    }
}

#[derive(FromQueryResult)]
struct Last {
    user_id: Uuid,
    n: i64,
}

/// Appends rows to locked logs, in the given order for each user. Returns each user's last number.
pub async fn append(tx: &Tx, entries: &[Entry]) -> Result<Vec<(UserId, i64)>> {
    append_and_count(tx, entries, &BTreeMap::new()).await
}

/// Like [`append`]; also changes the users' numbers of unread notifications by these amounts.
pub async fn append_and_count(
    tx: &Tx,
    entries: &[Entry],
    unread: &BTreeMap<UserId, i32>,
) -> Result<Vec<(UserId, i64)>> {
    let logged: BTreeSet<UserId> = entries.iter().map(|entry| entry.user).collect();
    let counted = unread.iter().filter(|(_, by)| **by != 0).map(|(user, _)| *user);
    let changed: BTreeSet<UserId> = logged.iter().copied().chain(counted).collect();
    if changed.is_empty() {
        return Ok(Vec::new());
    }
    let changed: Vec<UserId> = changed.into_iter().collect();
    let sql = "with added as (
            insert into receiver_log (user_id, n, topic, ref_id, actor_id, version, event_id, at)
            select e.user_id, r.n + row_number() over (partition by e.user_id order by e.place),
                e.topic, e.ref_id, nullif(e.actor_id, $8), e.version, nullif(e.event_id, $8), $7
            from unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::uuid[], $5::bigint[], $6::uuid[])
                with ordinality as e (user_id, topic, ref_id, actor_id, version, event_id, place)
            join receivers r using (user_id)
            returning user_id, n
        ), last as (
            select user_id, max(n) as n from added group by user_id
        )
        update receivers set n = coalesce(last.n, receivers.n), unread_count = unread_count + counted.by
        from unnest($9::uuid[], $10::integer[]) as counted (user_id, by) left join last using (user_id)
        where receivers.user_id = counted.user_id
        returning receivers.user_id, receivers.n";
    let values = [
        column(entries, |entry| entry.user.uuid()),
        column(entries, |entry| entry.topic as i16),
        column(entries, |entry| entry.about),
        column(entries, |entry| entry.actor.map_or(Uuid::nil(), UserId::uuid)),
        column(entries, |entry| entry.version),
        column(entries, |entry| entry.event.map_or(Uuid::nil(), EventId::uuid)),
        tx.clock().now().into(),
        Uuid::nil().into(),
        column(&changed, |user| user.uuid()),
        column(&changed, |user| unread.get(user).copied().unwrap_or_default()),
    ];
    let rows = Last::find_by_statement(sql_with(sql, values)).all(tx.connection()).await.map_err(failure)?;
    let last = rows.into_iter().map(|row| (UserId::from_row(row.user_id), row.n));
    Ok(last.filter(|(user, _)| logged.contains(user)).collect())
}

/// Deletes log rows older than seven days.
pub async fn purge(connection: &impl ConnectionTrait, limit: i64) -> Result<u64> {
    let sql = "delete from receiver_log where ctid = any(array(
        select ctid from receiver_log where at < now() - interval '7 days' limit $1))";
    let done = connection.execute_raw(sql_with(sql, [limit.into()])).await.map_err(failure)?;
    Ok(done.rows_affected())
}

/// The error for a `receivers` row that is missing although it is locked.
pub(super) fn gone() -> Error {
    Error::internal(anyhow::anyhow!("a receiver's row went while it was locked"))
}
