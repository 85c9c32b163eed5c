//! Events of a shard that are not known to be published. They belong to the shard, not to a slot: each shard
//! drains its own.

use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use super::shard::failure;
use super::{Connection, sql_with};
use crate::model::Result;
use crate::model::event::OutboxRow;

/// The age at which a row is published by another process than the one that wrote it.
const SECONDS_TO_WAIT: i32 = 2;
/// Counting more would take longer than it tells.
const MAX_COUNTED: i64 = 100_000;
/// How long a sweeper's rows are left to it.
const LEASE_SECONDS: i32 = 10;

#[derive(FromQueryResult)]
struct Stored {
    id: Uuid,
    subject: String,
    payload: String,
}

/// Leases the oldest overdue rows. Uses the database's clock, which all sweepers of a shard share.
pub async fn claim(connection: &Connection, limit: u32) -> Result<Vec<OutboxRow>> {
    // Ids begin with their time, so ordering by id is ordering by age.
    let sql = "update outbox set claimed_until = now() + make_interval(secs => $3)
        where id in (
            select id from outbox
            where created_at < now() - make_interval(secs => $2)
                and (claimed_until is null or claimed_until < now())
            order by id limit $1 for update skip locked)
        returning id, subject, payload";
    let values =
        [i64::from(limit).into(), f64::from(SECONDS_TO_WAIT).into(), f64::from(LEASE_SECONDS).into()];
    let rows = Stored::find_by_statement(sql_with(sql, values)).all(connection).await.map_err(failure)?;
    Ok(rows.into_iter().map(|Stored { id, subject, payload }| OutboxRow { id, subject, payload }).collect())
}

/// Deletes events that the stream has acknowledged.
pub async fn delete(connection: &Connection, ids: Vec<Uuid>) -> Result<()> {
    let sql = "delete from outbox where id = any($1)";
    connection.execute_raw(sql_with(sql, [ids.into()])).await.map_err(failure)?;
    Ok(())
}

/// What waits in an outbox.
#[derive(Debug, Clone, Copy, FromQueryResult)]
pub struct Backlog {
    /// The age of the oldest event in seconds; 0 if there is none.
    pub seconds: f64,
    /// The number of events, counted up to [`MAX_COUNTED`].
    pub rows: i64,
}

/// What is not known to be published.
pub async fn backlog(connection: &Connection) -> Result<Backlog> {
    let sql = "select coalesce((select extract(epoch from now() - created_at)::float8
        from outbox order by id limit 1), 0) as seconds,
        (select count(*) from (select from outbox limit $1) as counted) as rows";
    let found = Backlog::find_by_statement(sql_with(sql, [MAX_COUNTED.into()]))
        .one(connection)
        .await
        .map_err(failure)?;
    Ok(found.unwrap_or(Backlog { seconds: 0.0, rows: 0 }))
}
