//! Events that nobody has published.

use sea_orm::FromQueryResult;
use sea_orm::entity::prelude::*;

use crate::model::Result;
use crate::store::shard::failure;
use crate::store::{Connection, sql_with};

/// An event that nobody has published for a while.
#[derive(Debug, FromQueryResult)]
pub struct Waiting {
    pub id: Uuid,
    pub subject: String,
    /// Seconds.
    pub age: f64,
}

#[derive(FromQueryResult)]
struct Rows {
    rows: i64,
    waiting: i64,
}

/// How many events are in the outbox, and how many of those for longer than so many seconds.
pub async fn count(connection: &Connection, seconds: f64) -> Result<(i64, i64)> {
    let sql = "select count(*) as rows,
        count(*) filter (where created_at < now() - make_interval(secs => $1)) as waiting from outbox";
    let row =
        Rows::find_by_statement(sql_with(sql, [seconds.into()])).one(connection).await.map_err(failure)?;
    Ok(row.map_or((0, 0), |row| (row.rows, row.waiting)))
}

/// The oldest events that wait for longer than so many seconds.
pub async fn waiting(connection: &Connection, seconds: f64, limit: i64) -> Result<Vec<Waiting>> {
    let sql = "select id, subject, extract(epoch from now() - created_at)::float8 as age from outbox
        where created_at < now() - make_interval(secs => $1) order by id limit $2";
    Waiting::find_by_statement(sql_with(sql, [seconds.into(), limit.into()]))
        .all(connection)
        .await
        .map_err(failure)
}
