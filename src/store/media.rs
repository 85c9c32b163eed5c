//! Uploaded images; in their owner's slot.

use std::collections::HashSet;

use sea_orm::entity::prelude::*;
use sea_orm::{FromQueryResult, IntoActiveModel, QuerySelect};
use time::OffsetDateTime;

use super::coalesce::Batch;
use super::shard::failure;
use super::{Connection, Tx, sql_with};
use crate::model::Result;
use crate::model::id::{MediaId, Slot, UserId};
use crate::model::media::State;

/// A row of `media`. `state` is the number of `model::media::State`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "media")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub owner_id: Uuid,
    pub state: i16,
    pub content_type: String,
    pub bytes: i64,
    pub sha256: Vec<u8>,
    pub alt: Option<String>,
    pub width: Option<i32>,
    pub height: Option<i32>,
    pub blurhash: Option<String>,
    pub failure: Option<String>,
    pub used_by: Option<Uuid>,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn id(&self) -> MediaId {
        MediaId::from_row(self.id)
    }

    pub fn owner(&self) -> UserId {
        UserId::from_row(self.owner_id)
    }

    pub fn is(&self, state: State) -> bool {
        self.state == state as i16
    }
}

/// Media by id.
pub struct ById;

impl Batch for ById {
    type Key = MediaId;
    type Row = Model;

    fn slot(key: &MediaId) -> Slot {
        key.slot()
    }

    async fn fetch(connection: &Connection, keys: Vec<MediaId>) -> Result<Vec<(MediaId, Model)>> {
        let ids: Vec<Uuid> = keys.into_iter().map(MediaId::uuid).collect();
        let rows = Entity::find().filter(Column::Id.eq_any(ids)).all(connection).await.map_err(failure)?;
        Ok(rows.into_iter().map(|row| (row.id(), row)).collect())
    }
}

pub async fn insert(tx: &Tx, media: Model) -> Result<()> {
    Entity::insert(media.into_active_model())
        .exec_without_returning(tx.connection())
        .await
        .map_err(failure)?;
    Ok(())
}

/// The row, locked until the transaction ends.
pub async fn lock(tx: &Tx, id: MediaId) -> Result<Option<Model>> {
    Entity::find_by_id(id.uuid()).lock_exclusive().one(tx.connection()).await.map_err(failure)
}

/// Moves an upload from one state to the next; false if it was in another state.
pub async fn advance(tx: &Tx, id: MediaId, from: State, to: State) -> Result<bool> {
    let sql = "update media set state = $3, updated_at = $4 where id = $1 and state = $2";
    let values = [id.uuid().into(), (from as i16).into(), (to as i16).into(), tx.clock().now().into()];
    let done = tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(done.rows_affected() == 1)
}

/// What is known about an image after processing.
#[derive(Debug, Clone)]
pub struct Measured {
    pub width: i32,
    pub height: i32,
    pub blurhash: String,
}

/// PROCESSING → READY; false if it was in another state.
pub async fn finish(tx: &Tx, id: MediaId, measured: &Measured) -> Result<bool> {
    let sql = "update media set state = 2, width = $2, height = $3, blurhash = $4, updated_at = $5
        where id = $1 and state = 1";
    let values = [
        id.uuid().into(),
        measured.width.into(),
        measured.height.into(),
        measured.blurhash.as_str().into(),
        tx.clock().now().into(),
    ];
    let done = tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(done.rows_affected() == 1)
}

/// Any state but READY → FAILED, with the reason shown to its owner.
pub async fn fail(tx: &Tx, id: MediaId, reason: &str) -> Result<()> {
    let sql = "update media set state = 3, failure = $2, updated_at = $3 where id = $1 and state <> 2";
    let values = [id.uuid().into(), reason.into(), tx.clock().now().into()];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}

/// Marks these images as used if all of them belong to the owner, are ready, and are unused or used by the
/// same thing; otherwise marks none and returns false.
pub async fn use_all(tx: &Tx, owner: UserId, ids: &[MediaId], used_by: Uuid) -> Result<bool> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let count = ids.len() as u64;
    let sql = "update media set used_by = $3 where id = any($1) and owner_id = $2 and state = 2
        and (used_by is null or used_by = $3)";
    let done = tx
        .connection()
        .execute_raw(sql_with(sql, [ids.into(), owner.uuid().into(), used_by.into()]))
        .await
        .map_err(failure)?;
    Ok(done.rows_affected() == count)
}

/// An image that something is to show.
#[derive(Debug, Clone, Copy)]
pub struct Use {
    pub image: MediaId,
    pub owner: UserId,
    pub used_by: Uuid,
}

#[derive(FromQueryResult)]
struct Used {
    id: Uuid,
    used_by: Uuid,
}

/// Marks those of these images as used that belong to their owner, are ready, and are unused or used by the
/// same thing. Returns the marked images, with what uses them.
pub async fn use_each(tx: &Tx, uses: &[Use]) -> Result<HashSet<(MediaId, Uuid)>> {
    let sql = "update media set used_by = asked.used_by
        from unnest($1::uuid[], $2::uuid[], $3::uuid[]) as asked (id, owner_id, used_by)
        where media.id = asked.id and media.owner_id = asked.owner_id and media.state = 2
            and (media.used_by is null or media.used_by = asked.used_by)
        returning media.id, media.used_by";
    let images: Vec<Uuid> = uses.iter().map(|used| used.image.uuid()).collect();
    let owners: Vec<Uuid> = uses.iter().map(|used| used.owner.uuid()).collect();
    let used_by: Vec<Uuid> = uses.iter().map(|used| used.used_by).collect();
    let values = [images.into(), owners.into(), used_by.into()];
    let rows = Used::find_by_statement(sql_with(sql, values)).all(tx.connection()).await.map_err(failure)?;
    Ok(rows.into_iter().map(|row| (MediaId::from_row(row.id), row.used_by)).collect())
}

/// Undoes a mark of [`use_each`] in the same transaction.
pub async fn unuse(tx: &Tx, used_by: Uuid, ids: &[Uuid]) -> Result<()> {
    let sql = "update media set used_by = null where id = any($1) and used_by = $2";
    let values = [ids.to_vec().into(), used_by.into()];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}

/// Those of these images that are the owner's.
pub async fn owned(tx: &Tx, owner: UserId, ids: &[MediaId]) -> Result<Vec<Model>> {
    Entity::find()
        .filter(Column::Id.eq_any(ids.iter().map(|id| id.uuid()).collect::<Vec<_>>()))
        .filter(Column::OwnerId.eq(owner.uuid()))
        .all(tx.connection())
        .await
        .map_err(failure)
}

/// Releases images that a deleted post or a changed avatar no longer uses; they are then collected.
pub async fn release(tx: &Tx, used_by: Uuid, ids: &[Uuid]) -> Result<()> {
    let sql = "update media set used_by = null, updated_at = $3 where id = any($1) and used_by = $2";
    let values = [ids.to_vec().into(), used_by.into(), tx.clock().now().into()];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}

#[derive(FromQueryResult)]
struct Id {
    id: Uuid,
}

/// Up to `limit` rows of this shard that nothing uses and that were not touched since `before`: unfinished
/// uploads, rejected files, images of deleted posts. Their objects must be deleted before the rows.
pub async fn unused(connection: &Connection, before: OffsetDateTime, limit: i64) -> Result<Vec<MediaId>> {
    let sql = "select id from media where used_by is null and updated_at < $1 order by updated_at limit $2";
    let rows = Id::find_by_statement(sql_with(sql, [before.into(), limit.into()]))
        .all(connection)
        .await
        .map_err(failure)?;
    Ok(rows.into_iter().map(|row| MediaId::from_row(row.id)).collect())
}

/// Marks a row as failed if it is still unused. The owner can't use it any more, so its objects can be
/// deleted safely.
pub async fn mark_for_deletion(tx: &Tx, id: MediaId, before: OffsetDateTime) -> Result<bool> {
    let sql = "update media set state = 3 where id = $1 and used_by is null and updated_at < $2";
    let done = tx
        .connection()
        .execute_raw(sql_with(sql, [id.uuid().into(), before.into()]))
        .await
        .map_err(failure)?;
    Ok(done.rows_affected() == 1)
}

pub async fn delete(connection: &Connection, id: MediaId) -> Result<()> {
    let sql = "delete from media where id = $1 and used_by is null and state = 3";
    connection.execute_raw(sql_with(sql, [id.uuid().into()])).await.map_err(failure)?;
    Ok(())
}
