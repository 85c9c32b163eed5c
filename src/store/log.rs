//! Each user's numbered log of what their streams deliver. Numbers have no gaps, because rows are added under
//! the lock on the user's row in `receivers`. Old rows are purged.

use sea_orm::FromQueryResult;
use sea_orm::entity::prelude::*;
use time::OffsetDateTime;

use super::shard::failure;
use super::{Connection, Tx, sql_with};
use crate::model::id::UserId;
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
}

/// Locks the logs of these users, all on one shard, until the transaction ends.
pub async fn lock(tx: &Tx, users: &[UserId]) -> Result<()> {
    // Always in the same order, to avoid deadlocks.
    let sql = "insert into receivers (user_id) select id from unnest($1::uuid[]) as asked(id) order by id
        on conflict (user_id) do update set n = receivers.n";
    let users: Vec<Uuid> = users.iter().map(|user| user.uuid()).collect();
    tx.connection().execute_raw(sql_with(sql, [users.into()])).await.map_err(failure)?;
    Ok(())
}

#[derive(FromQueryResult)]
struct Last {
    user_id: Uuid,
    n: i64,
}

/// Appends rows to locked logs, in the given order for each user. Returns each user's last number.
pub async fn append(tx: &Tx, entries: &[Entry]) -> Result<Vec<(UserId, i64)>> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "with added as (
            insert into receiver_log (user_id, n, topic, ref_id, actor_id, version, at)
            select e.user_id, r.n + row_number() over (partition by e.user_id order by e.place),
                e.topic, e.ref_id, nullif(e.actor_id, $7), e.version, $6
            from unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::uuid[], $5::bigint[])
                with ordinality as e (user_id, topic, ref_id, actor_id, version, place)
            join receivers r using (user_id)
            returning user_id, n
        ), last as (
            select user_id, max(n) as n from added group by user_id
        )
        update receivers set n = last.n from last where receivers.user_id = last.user_id
        returning receivers.user_id, receivers.n";
    let users: Vec<Uuid> = entries.iter().map(|entry| entry.user.uuid()).collect();
    let topics: Vec<i16> = entries.iter().map(|entry| entry.topic as i16).collect();
    let about: Vec<Uuid> = entries.iter().map(|entry| entry.about).collect();
    let actors: Vec<Uuid> =
        entries.iter().map(|entry| entry.actor.map_or(Uuid::nil(), UserId::uuid)).collect();
    let versions: Vec<i64> = entries.iter().map(|entry| entry.version).collect();
    let values = [
        users.into(),
        topics.into(),
        about.into(),
        actors.into(),
        versions.into(),
        tx.clock().now().into(),
        Uuid::nil().into(),
    ];
    let rows = Last::find_by_statement(sql_with(sql, values)).all(tx.connection()).await.map_err(failure)?;
    Ok(rows.into_iter().map(|row| (UserId::from_row(row.user_id), row.n)).collect())
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
