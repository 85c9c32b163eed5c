//! Read and unread notifications.

use sea_orm::FromQueryResult;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::Result;
use crate::model::id::{NotificationId, Slot, UserId};
use crate::store::coalesce::Batch;
use crate::store::log;
use crate::store::shard::failure;
use crate::store::{Connection, Tx, sql_with};

/// Key: the unread count of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UnreadOf(pub UserId);

/// Unread counts. Users who never had a notification are missing.
pub struct UnreadCount;

#[derive(FromQueryResult)]
struct Unread {
    user_id: Uuid,
    unread_count: i32,
}

impl Batch for UnreadCount {
    type Key = UnreadOf;
    type Row = i32;

    fn slot(key: &UnreadOf) -> Slot {
        key.0.slot()
    }

    async fn fetch(connection: &Connection, keys: Vec<UnreadOf>) -> Result<Vec<(UnreadOf, i32)>> {
        let ids: Vec<Uuid> = keys.into_iter().map(|key| key.0.uuid()).collect();
        let sql = "select user_id, unread_count from receivers where user_id = any($1)";
        let rows =
            Unread::find_by_statement(sql_with(sql, [ids.into()])).all(connection).await.map_err(failure)?;
        Ok(rows.into_iter().map(|row| (UnreadOf(UserId::from_row(row.user_id)), row.unread_count)).collect())
    }
}

#[derive(FromQueryResult)]
struct Left {
    unread_count: i32,
}

/// Marks one notification of this user; returns how many are left unread.
pub async fn mark_read(tx: &Tx, user: UserId, id: NotificationId) -> Result<i32> {
    log::lock(tx, [user]).await?;
    let sql = "with done as (
            update notifications set is_read = true
            where id = $1 and user_id = $2 and not is_read returning id)
        update receivers set unread_count = unread_count - (select count(*) from done)::integer
        where user_id = $2 returning unread_count";
    let values = [id.uuid().into(), user.uuid().into()];
    let left = Left::find_by_statement(sql_with(sql, values)).one(tx.connection()).await.map_err(failure)?;
    left.map(|left| left.unread_count).ok_or_else(log::gone)
}

#[derive(FromQueryResult)]
struct Found {
    id: Uuid,
}

/// Like [`mark_read`] for the unread notification of this kind about this target, if there is one.
pub async fn mark_read_about(tx: &Tx, user: UserId, kind: i16, target: Uuid) -> Result<()> {
    let sql = "select id from notifications
        where user_id = $1 and kind = $2 and target_id = $3 and not is_read and actor_count > 0";
    let statement = sql_with(sql, [user.uuid().into(), kind.into(), target.into()]);
    match Found::find_by_statement(statement).one(tx.connection()).await.map_err(failure)? {
        Some(unread) => mark_read(tx, user, NotificationId::from_row(unread.id)).await.map(|_| ()),
        None => Ok(()),
    }
}

/// Marks all notifications of this user up to a place in the list as read; returns how many are left unread.
pub async fn mark_all_read(tx: &Tx, user: UserId, up_to: Option<(OffsetDateTime, Uuid)>) -> Result<i32> {
    log::lock(tx, [user]).await?;
    let sql = "with done as (
            update notifications set is_read = true
            where user_id = $1 and actor_count > 0 and not is_read
                and (updated_at, id) <= (coalesce($2::timestamptz, 'infinity'), $3::uuid)
            returning id)
        update receivers set unread_count = unread_count - (select count(*) from done)::integer
        where user_id = $1 returning unread_count";
    let (time, id) = up_to.map_or((None, Uuid::max()), |(time, id)| (Some(time), id));
    let values = [user.uuid().into(), time.into(), id.into()];
    let left = Left::find_by_statement(sql_with(sql, values)).one(tx.connection()).await.map_err(failure)?;
    left.map(|left| left.unread_count).ok_or_else(log::gone)
}
