//! Which posts have a hashtag; in the slot of the tag.

use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use super::shard::failure;
use super::{Connection, Tx, sql_with};
use crate::model::id::{PostId, Slot};
use crate::model::{Error, Result};

/// A post's entry in a tag's list. A missing entry has version -1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Known {
    pub active: bool,
    pub version: i64,
}

/// Applies a version to a post's entry and updates the tag's count. Older versions change nothing.
pub async fn index(tx: &Tx, name: &str, post: PostId, active: bool, version: i64) -> Result<()> {
    let known = hold(tx, name, post).await?;
    if known.version >= version {
        return Ok(());
    }
    write(tx, name, post, known, Known { active, version }).await
}

/// Locks a post's entry until the transaction ends; inserts it if missing.
pub async fn hold(tx: &Tx, name: &str, post: PostId) -> Result<Known> {
    let insert = "insert into hashtag_posts (slot, name, post_id, active, version)
        values ($1, $2, $3, false, -1) on conflict do nothing";
    let key = [tx.slot().column().into(), name.into(), post.uuid().into()];
    tx.connection().execute_raw(sql_with(insert, key.clone())).await.map_err(failure)?;
    let lock =
        "select active, version from hashtag_posts where slot = $1 and name = $2 and post_id = $3 for update";
    Known::find_by_statement(sql_with(lock, key))
        .one(tx.connection())
        .await
        .map_err(failure)?
        .ok_or_else(|| Error::internal(anyhow::anyhow!("a tag's entry went while it was locked")))
}

/// Overwrites a locked entry regardless of its version, and updates the tag's count.
pub async fn write(tx: &Tx, name: &str, post: PostId, known: Known, to: Known) -> Result<()> {
    let slot = tx.slot().column();
    let connection = tx.connection();
    let update = "update hashtag_posts set active = $4, version = $5
        where slot = $1 and name = $2 and post_id = $3";
    let values = [slot.into(), name.into(), post.uuid().into(), to.active.into(), to.version.into()];
    connection.execute_raw(sql_with(update, values)).await.map_err(failure)?;
    let by = i32::from(to.active) - i32::from(known.active);
    if by != 0 {
        let count = "insert into hashtags (slot, name, post_count) values ($1, $2, $3)
            on conflict (slot, name) do update set post_count = hashtags.post_count + excluded.post_count";
        let values = [slot.into(), name.into(), by.into()];
        connection.execute_raw(sql_with(count, values)).await.map_err(failure)?;
    }
    Ok(())
}

#[derive(FromQueryResult)]
struct Count {
    post_count: i32,
}

/// How many posts have the tag.
pub async fn count(connection: &Connection, slot: Slot, name: &str) -> Result<i32> {
    let sql = "select post_count from hashtags where slot = $1 and name = $2";
    let row = Count::find_by_statement(sql_with(sql, [slot.column().into(), name.into()]))
        .one(connection)
        .await
        .map_err(failure)?;
    Ok(row.map_or(0, |row| row.post_count))
}

#[derive(FromQueryResult)]
struct Entry {
    post_id: Uuid,
}

/// The posts of a tag, the newest first, from behind `before`.
pub async fn posts(
    connection: &Connection,
    (slot, name): (Slot, &str),
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<PostId>> {
    let sql = "select post_id from hashtag_posts
        where slot = $1 and name = $2 and active and post_id < $3 order by post_id desc limit $4";
    let before = before.unwrap_or(Uuid::max());
    let values = [slot.column().into(), name.into(), before.into(), limit.into()];
    let rows = Entry::find_by_statement(sql_with(sql, values)).all(connection).await.map_err(failure)?;
    Ok(rows.into_iter().map(|row| PostId::from_row(row.post_id)).collect())
}
