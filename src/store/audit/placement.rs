//! Rows in a shard that does not own their slot, of any table in `sharded_tables`.

use sea_orm::FromQueryResult;
use sea_orm::entity::prelude::*;
use serde::{Deserialize, Serialize};

use crate::model::Result;
use crate::store::shard::failure;
use crate::store::{Connection, Slots, sql_with};

/// A sharded table. All of its names are quoted as SQL needs them.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Table {
    pub name: String,
    slot: String,
    key: Vec<String>,
    parents: Vec<String>,
    /// How many blocks of the disk it has.
    pub blocks: i64,
}

impl Table {
    /// The key's columns of `from`, as one text.
    fn key_text(&self, from: &str) -> String {
        let columns: Vec<String> = self.key.iter().map(|column| format!("{from}.{column}::text")).collect();
        format!("array_to_string(array[{}], ' ')", columns.join(", "))
    }

    fn same_key(&self) -> String {
        let columns: Vec<String> = self.key.iter().map(|column| format!("t.{column} = r.{column}")).collect();
        columns.join(" and ")
    }
}

/// A row that lies where its slot does not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MisplacedRow {
    pub key: String,
    pub slot: u16,
    row: serde_json::Value,
}

/// All sharded tables, those that others refer to first.
pub async fn tables(connection: &Connection) -> Result<Vec<Table>> {
    let sql = "select quote_ident(table_name) as name, slot_expression as slot,
            array(select quote_ident(a.attname) from pg_index i
                join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
                where i.indisprimary and i.indrelid = quote_ident(table_name)::regclass
                order by array_position(i.indkey::int2[], a.attnum)) as key,
            array(select confrelid::regclass::text from pg_constraint
                where contype = 'f' and conrelid = quote_ident(table_name)::regclass
                    and confrelid <> conrelid) as parents,
            pg_relation_size(quote_ident(table_name)::regclass)
                / current_setting('block_size')::bigint as blocks
        from sharded_tables order by table_name";
    let mut left: Vec<Table> =
        Table::find_by_statement(sql_with(sql, [])).all(connection).await.map_err(failure)?;
    let mut ordered: Vec<Table> = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waits = |table: &Table| left.iter().any(|other| table.parents.contains(&other.name));
        // Tables that refer to each other in a circle have no order.
        let next = left.iter().position(|table| !waits(table)).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    Ok(ordered)
}

#[derive(FromQueryResult)]
struct Scanned {
    looked: i64,
    misplaced: serde_json::Value,
}

/// How many rows lie in these blocks, and those whose slot is not among the owned ones.
pub async fn misplaced(
    connection: &Connection,
    table: &Table,
    (first, end): (i64, i64),
    owned: &Slots,
) -> Result<(i64, Vec<MisplacedRow>)> {
    let (name, slot, key) = (&table.name, &table.slot, table.key_text("t"));
    let sql = format!(
        "select count(*) as looked, coalesce(
            jsonb_agg(jsonb_build_object('key', {key}, 'slot', {slot}, 'row', to_jsonb(t)))
                filter (where not $1::text::int4multirange @> ({slot})::integer), '[]') as misplaced
        from {name} t where t.ctid >= '({first},0)'::tid and t.ctid < '({end},0)'::tid"
    );
    let row = Scanned::find_by_statement(sql_with(&sql, [owned.to_string().into()]))
        .one(connection)
        .await
        .map_err(failure)?;
    let Some(row) = row else { return Ok((0, Vec::new())) };
    let misplaced = serde_json::from_value(row.misplaced).map_err(crate::model::Error::internal)?;
    Ok((row.looked, misplaced))
}

fn records(misplaced: &[MisplacedRow]) -> serde_json::Value {
    misplaced.iter().map(|row| row.row.clone()).collect()
}

impl MisplacedRow {
    /// The names of the columns that were read, as SQL quotes them.
    fn columns(&self) -> String {
        let names = self.row.as_object().into_iter().flat_map(serde_json::Map::keys);
        let quoted: Vec<String> = names.map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
        quoted.join(", ")
    }
}

/// Inserts these rows where their owner has none with the same key. Columns that were not read, because the owner's
/// schema is newer, get their defaults; an owner that lacks one of them is an error.
pub async fn copy(connection: &Connection, table: &Table, misplaced: &[MisplacedRow]) -> Result<()> {
    let name = &table.name;
    for misplaced in misplaced.chunk_by(|one, next| one.columns() == next.columns()) {
        let columns = misplaced[0].columns();
        let sql = format!(
            "insert into {name} ({columns})
            select {columns} from jsonb_populate_recordset(null::{name}, $1::jsonb)
            on conflict do nothing"
        );
        connection.execute_raw(sql_with(&sql, [records(misplaced).into()])).await.map_err(failure)?;
    }
    Ok(())
}

#[derive(FromQueryResult)]
struct Key {
    key: String,
}

/// The keys of those of these rows that are there by their key.
pub async fn present(
    connection: &Connection,
    table: &Table,
    misplaced: &[MisplacedRow],
) -> Result<Vec<String>> {
    let (name, key, same) = (&table.name, table.key_text("t"), table.same_key());
    let sql = format!(
        "select {key} as key from {name} t join jsonb_populate_recordset(null::{name}, $1::jsonb) r on {same}"
    );
    keys(connection, &sql, misplaced).await
}

/// Deletes those of these rows that nobody has changed since they were read; their keys.
pub async fn remove(
    connection: &Connection,
    table: &Table,
    misplaced: &[MisplacedRow],
) -> Result<Vec<String>> {
    let (name, key, same) = (&table.name, table.key_text("t"), table.same_key());
    let sql = format!(
        "delete from {name} t using jsonb_populate_recordset(null::{name}, $1::jsonb) r
        where {same} and t is not distinct from r returning {key} as key"
    );
    keys(connection, &sql, misplaced).await
}

async fn keys(connection: &Connection, sql: &str, misplaced: &[MisplacedRow]) -> Result<Vec<String>> {
    let rows = Key::find_by_statement(sql_with(sql, [records(misplaced).into()]))
        .all(connection)
        .await
        .map_err(failure)?;
    Ok(rows.into_iter().map(|row| row.key).collect())
}
