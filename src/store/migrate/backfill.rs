//! Backfills: rows in an old format are rewritten in the background, in batches.
//!
//! A batch and the new position are committed together, under the lock on the backfill's row. So no row is
//! done twice if a worker dies, any worker can continue, and of two workers one waits.

use std::fmt;
use std::time::Instant;

use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};
use time::OffsetDateTime;

use crate::model::Result;
use crate::store::shard::{Shard, failure, is_not_migrated};
use crate::store::{Connection, sql_with};

/// Rows to be rewritten on every shard.
#[derive(Debug, Clone, Copy)]
pub struct Backfill {
    /// Stored: must never be changed or reused.
    pub name: &'static str,
    /// One statement that rewrites up to `$2` rows after the position `$1` and returns one row: `position`
    /// (text) of the last of them, and `row_count` (bigint). The first position is empty. If no row is left,
    /// it returns none.
    pub sql: &'static str,
    /// The batch size; a batch must stay well within the time limit of a transaction.
    pub batch: i64,
}

/// The backfills of this release, in order. Remove one once a later release has dropped the old format.
pub const ALL: &[Backfill] = &[];

/// The result of asking for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batch {
    /// This many rows were rewritten; there may be more.
    Rewritten(u64),
    /// Another worker is running it.
    Taken,
    /// Nothing is left on this shard.
    Done,
}

#[derive(FromQueryResult)]
struct Row {
    position: String,
    done_at: Option<OffsetDateTime>,
}

#[derive(FromQueryResult)]
struct Rewritten {
    position: Option<String>,
    row_count: i64,
}

/// Rewrites the next batch of this shard's rows.
pub async fn next(shard: &Shard, backfill: &Backfill) -> Result<Batch> {
    let began = Instant::now();
    let batch = shard
        .ask(async |connection| {
            let register = "insert into backfills (name) values ($1) on conflict do nothing";
            connection.execute_raw(sql_with(register, [backfill.name.into()])).await.map_err(failure)?;
            connection.begin().await.map_err(failure)?;
            // On an error the connection stays in its transaction, and is closed.
            let batch = rewrite(&connection, backfill).await.map_err(failure)?;
            connection.commit().await.map_err(failure)?;
            Ok(batch)
        })
        .await?;
    if let Batch::Rewritten(rows) = batch {
        metrics::counter!("fowergram_backfill_rows_total", "backfill" => backfill.name).increment(rows);
        tracing::debug!(backfill = backfill.name, shard = shard.name, rows, took = ?began.elapsed(), "batch");
    }
    Ok(batch)
}

async fn rewrite(connection: &Connection, backfill: &Backfill) -> Result<Batch, DbErr> {
    let lock = "select position, done_at from backfills where name = $1 for update skip locked";
    let row = Row::find_by_statement(sql_with(lock, [backfill.name.into()])).one(connection).await?;
    let Some(row) = row else { return Ok(Batch::Taken) };
    if row.done_at.is_some() {
        return Ok(Batch::Done);
    }
    let values = [row.position.into(), backfill.batch.into()];
    let done = Rewritten::find_by_statement(sql_with(backfill.sql, values)).one(connection).await?;
    if let Some(Rewritten { position: Some(position), row_count }) = done
        && row_count > 0
    {
        let keep = "update backfills set position = $2, row_count = row_count + $3 where name = $1";
        let values = [backfill.name.into(), position.into(), row_count.into()];
        connection.execute_raw(sql_with(keep, values)).await?;
        return Ok(Batch::Rewritten(u64::try_from(row_count).unwrap_or_default()));
    }
    let end = "update backfills set done_at = now() where name = $1";
    connection.execute_raw(sql_with(end, [backfill.name.into()])).await?;
    Ok(Batch::Done)
}

/// The progress of a backfill on one shard.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Progress {
    pub name: String,
    pub position: String,
    pub row_count: i64,
    pub done_at: Option<OffsetDateTime>,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, position, row_count, done_at } = self;
        match done_at {
            Some(at) => write!(f, "backfill {name}: {row_count} rows, done {}", at.date()),
            None => write!(f, "backfill {name}: {row_count} rows, at '{position}'"),
        }
    }
}

/// The backfills started on a shard, oldest first.
pub async fn progress(connection: &impl ConnectionTrait) -> Result<Vec<Progress>, DbErr> {
    let sql = "select name, position, row_count, done_at from backfills order by started_at, name";
    match Progress::find_by_statement(sql_with(sql, [])).all(connection).await {
        Err(error) if is_not_migrated(&error) => Ok(Vec::new()),
        rows => rows,
    }
}
