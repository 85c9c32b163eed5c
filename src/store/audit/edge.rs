//! Edges and their mirrors, page by page and batch by batch.

use sea_orm::FromQueryResult;
use sea_orm::entity::prelude::*;
use time::OffsetDateTime;

use crate::model::Result;
use crate::store::edge::Table;
use crate::store::shard::failure;
use crate::store::{Connection, sql_with};

/// A row of any of the tables of edges.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Edge {
    pub owner: Uuid,
    pub other: Uuid,
    pub active: bool,
    pub version: i64,
    pub changed_at: OffsetDateTime,
}

/// (owner, other) of a table's rows.
pub type Pair = (Uuid, Uuid);

#[derive(FromQueryResult)]
struct Ends {
    owner: Uuid,
    other: Uuid,
}

/// The next rows of a table behind `after`, by their keys.
pub async fn page(connection: &Connection, table: Table, after: Pair, limit: i64) -> Result<Vec<Edge>> {
    let (name, owner, other) = table.names();
    let sql = format!(
        "select {owner} as owner, {other} as other, active, version, changed_at from {name}
        where ({owner}, {other}) > ($1, $2) order by 1, 2 limit $3"
    );
    Edge::find_by_statement(sql_with(&sql, [after.0.into(), after.1.into(), limit.into()]))
        .all(connection)
        .await
        .map_err(failure)
}

/// Those of these edges whose mirrors stand otherwise. A mirror that is absent stands as ended.
pub async fn unlike(connection: &Connection, mirror: Table, edges: Vec<Edge>) -> Result<Vec<Pair>> {
    let (name, owner, other) = mirror.names();
    let sql = format!(
        "select e.owner, e.other
        from unnest($1::uuid[], $2::uuid[], $3::boolean[], $4::bigint[]) e (owner, other, active, version)
        left join {name} m on m.{owner} = e.other and m.{other} = e.owner
        where coalesce(m.active, false) <> e.active or m.version <> e.version"
    );
    let owners: Vec<Uuid> = edges.iter().map(|edge| edge.owner).collect();
    let others: Vec<Uuid> = edges.iter().map(|edge| edge.other).collect();
    let active: Vec<bool> = edges.iter().map(|edge| edge.active).collect();
    let versions: Vec<i64> = edges.iter().map(|edge| edge.version).collect();
    pairs(connection, &sql, [owners.into(), others.into(), active.into(), versions.into()]).await
}

/// Those of these pairs that are no edges at all. Of posts only while the post is there: the likes of one
/// that was deleted go with it, and their mirrors stay.
pub async fn unfounded(connection: &Connection, table: Table, asked: Vec<Pair>) -> Result<Vec<Pair>> {
    let (name, owner, other) = table.names();
    let there = match table {
        Table::Likes => "and exists (select from posts where id = m.owner and deleted_at is null)",
        _ => "",
    };
    let sql = format!(
        "select m.owner, m.other from unnest($1::uuid[], $2::uuid[]) m (owner, other)
        left join {name} e on e.{owner} = m.owner and e.{other} = m.other
        where e.{owner} is null {there}"
    );
    let (owners, others): (Vec<Uuid>, Vec<Uuid>) = asked.into_iter().unzip();
    pairs(connection, &sql, [owners.into(), others.into()]).await
}

async fn pairs<const N: usize>(
    connection: &Connection,
    sql: &str,
    values: [sea_orm::Value; N],
) -> Result<Vec<Pair>> {
    let rows = Ends::find_by_statement(sql_with(sql, values)).all(connection).await.map_err(failure)?;
    Ok(rows.into_iter().map(|row| (row.owner, row.other)).collect())
}

/// The rows of these pairs.
pub async fn fetch(connection: &Connection, table: Table, asked: Vec<Pair>) -> Result<Vec<Edge>> {
    let (name, owner, other) = table.names();
    let sql = format!(
        "select {owner} as owner, {other} as other, active, version, changed_at
        from unnest($1::uuid[], $2::uuid[]) asked (a, b)
        join {name} on {owner} = asked.a and {other} = asked.b"
    );
    let (owners, others): (Vec<Uuid>, Vec<Uuid>) = asked.into_iter().unzip();
    Edge::find_by_statement(sql_with(&sql, [owners.into(), others.into()]))
        .all(connection)
        .await
        .map_err(failure)
}
