//! Images by slots, as the storage lists them.

use sea_orm::FromQueryResult;
use sea_orm::entity::prelude::*;
use time::OffsetDateTime;

use crate::model::Result;
use crate::model::id::MediaId;
use crate::store::shard::failure;
use crate::store::{Connection, Tx, sql_with};

/// What decides which objects an image has.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Image {
    pub id: Uuid,
    pub state: i16,
    pub width: Option<i32>,
    pub updated_at: OffsetDateTime,
}

#[derive(FromQueryResult)]
struct Count {
    count: i64,
}

/// How many images this shard has.
pub async fn count(connection: &Connection) -> Result<i64> {
    let sql = "select count(*) as count from media";
    let row = Count::find_by_statement(sql_with(sql, [])).one(connection).await.map_err(failure)?;
    Ok(row.map_or(0, |row| row.count))
}

/// The images of the slots from the one to the other.
pub async fn of_slots(connection: &Connection, first: u16, last: u16) -> Result<Vec<Image>> {
    let sql = "select id, state, width, updated_at from media where slot_of(id) between $1 and $2";
    Image::find_by_statement(sql_with(sql, [i32::from(first).into(), i32::from(last).into()]))
        .all(connection)
        .await
        .map_err(failure)
}

/// The image with this id.
pub async fn find(connection: &Connection, id: MediaId) -> Result<Option<Image>> {
    let sql = "select id, state, width, updated_at from media where id = $1";
    Image::find_by_statement(sql_with(sql, [id.uuid().into()])).one(connection).await.map_err(failure)
}

/// READY → FAILED, for an image whose objects are gone; false if it was in another state.
pub async fn give_up(tx: &Tx, id: MediaId, reason: &str) -> Result<bool> {
    let sql = "update media set state = 3, failure = $2, updated_at = $3 where id = $1 and state = 2";
    let values = [id.uuid().into(), reason.into(), tx.clock().now().into()];
    let done = tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(done.rows_affected() == 1)
}
