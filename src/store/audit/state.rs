//! What belongs to a shard itself: its schema's version, and its outbox.

use migration::{Migrator, MigratorTrait};
use sea_orm::FromQueryResult;
use sea_orm::entity::prelude::*;

use crate::domain::Result;
use crate::store::shard::{failure, is_not_migrated};
use crate::store::{Connection, sql_with};

#[derive(FromQueryResult)]
struct Applied {
    version: String,
}

/// How a shard's schema differs from what this binary expects.
#[derive(Debug)]
pub struct Schema {
    pub applied: usize,
    /// Not applied yet.
    pub pending: Vec<String>,
    /// Applied, by a newer binary or another one.
    pub unknown: Vec<String>,
}

/// Compares the migrations that this shard has with those of this binary.
pub async fn schema(connection: &Connection) -> Result<Schema> {
    let statement = sql_with("select version from seaql_migrations order by version", []);
    let applied: Vec<String> = match Applied::find_by_statement(statement).all(connection).await {
        Err(error) if is_not_migrated(&error) => Vec::new(),
        rows => rows.map_err(failure)?.into_iter().map(|row| row.version).collect(),
    };
    let known: Vec<String> =
        Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
    let without = |some: &[String], others: &[String]| -> Vec<String> {
        some.iter().filter(|name| !others.contains(name)).cloned().collect()
    };
    Ok(Schema {
        applied: applied.len(),
        pending: without(&known, &applied),
        unknown: without(&applied, &known),
    })
}

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
pub async fn outbox(connection: &Connection, seconds: f64) -> Result<(i64, i64)> {
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
