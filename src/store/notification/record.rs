//! Writing notifications.

use sea_orm::FromQueryResult;

use crate::model::Result;
use crate::model::id::{EventId, NotificationId};
use crate::model::notification::Notice;
use crate::model::stream::LogTopic;
use crate::store::log;
use crate::store::shard::failure;
use crate::store::{Tx, sql_with};

#[derive(FromQueryResult)]
struct Known {
    actor_count: i32,
    is_read: bool,
    active: Option<bool>,
    version: Option<i64>,
}

/// Adds the actor to the receiver's notification of this kind and target, or removes it. Only a greater
/// version than the actor's last is applied. Returns the number of the new log row; there is none when
/// something is undone.
pub async fn record(tx: &Tx, event: EventId, notice: &Notice) -> Result<Option<i64>> {
    log::lock(tx, &[notice.receiver]).await?;
    // A separate statement, so that it sees what the lock waited for.
    let sql = "select n.actor_count, n.is_read, a.active, a.version
        from notifications n
        left join notification_actors a on a.notification_id = n.id and a.actor_id = $4
        where n.user_id = $1 and n.kind = $2 and n.target_id = $3";
    let values = [
        notice.receiver.uuid().into(),
        (notice.kind as i16).into(),
        notice.target.into(),
        notice.actor.uuid().into(),
    ];
    let known =
        Known::find_by_statement(sql_with(sql, values)).one(tx.connection()).await.map_err(failure)?;
    if known.as_ref().and_then(|known| known.version).is_some_and(|version| version >= notice.version) {
        return Ok(None);
    }
    let was_active = known.as_ref().and_then(|known| known.active).unwrap_or(false);
    let was_unread = known.as_ref().is_some_and(|known| !known.is_read);
    let actors =
        known.map_or(0, |known| known.actor_count) + i32::from(notice.active) - i32::from(was_active);
    let is_unread = notice.active || (was_unread && actors > 0);
    let n = write(tx, event, notice, actors, (was_unread, is_unread)).await?;
    Ok(notice.active.then_some(n))
}

#[derive(FromQueryResult)]
struct Numbered {
    n: i64,
}

/// Writes all changes of a notice with one statement.
async fn write(
    tx: &Tx,
    event: EventId,
    notice: &Notice,
    actors: i32,
    (was_unread, is_unread): (bool, bool),
) -> Result<i64> {
    let sql = "with notification as (
            insert into notifications
                (id, user_id, kind, target_id, actor_count, is_read, created_at, updated_at)
            values ($1, $2, $3, $4, $5, not $6, $7, $7)
            on conflict (user_id, kind, target_id) do update set
                actor_count = excluded.actor_count,
                is_read = excluded.is_read,
                created_at = least(notifications.created_at, excluded.created_at),
                updated_at = coalesce(
                    greatest(
                        (select max(at) from notification_actors
                            where notification_id = notifications.id and active and actor_id <> $8),
                        case when $9 then excluded.updated_at end),
                    notifications.updated_at)
            returning id
        ), actor as (
            insert into notification_actors (notification_id, actor_id, active, version, at)
            select id, $8, $9, $10, $7 from notification
            on conflict (notification_id, actor_id) do update set
                active = excluded.active, version = excluded.version, at = excluded.at
        ), log as (
            insert into receiver_log (user_id, n, topic, ref_id, event_id, at)
            select user_id, n + 1, $11, notification.id, $12, $13
            from receivers, notification where user_id = $2 and $9
        )
        update receivers set n = n + $9::integer, unread_count = unread_count + $14
        where user_id = $2 returning n";
    let values = [
        NotificationId::make(tx.clock(), tx.slot()).uuid().into(),
        notice.receiver.uuid().into(),
        (notice.kind as i16).into(),
        notice.target.into(),
        actors.into(),
        is_unread.into(),
        notice.at.into(),
        notice.actor.uuid().into(),
        notice.active.into(),
        notice.version.into(),
        (LogTopic::Notification as i16).into(),
        event.uuid().into(),
        tx.clock().now().into(),
        (i32::from(is_unread) - i32::from(was_unread)).into(),
    ];
    let row =
        Numbered::find_by_statement(sql_with(sql, values)).one(tx.connection()).await.map_err(failure)?;
    row.map(|row| row.n).ok_or_else(log::gone)
}
