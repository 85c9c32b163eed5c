//! Writing notifications.

use sea_orm::FromQueryResult;
use time::OffsetDateTime;

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
    at: Option<OffsetDateTime>,
    is_told: Option<bool>,
    undone_unread: Option<bool>,
}

/// How a notification and its actor stand after a notice.
#[expect(clippy::struct_excessive_bools, reason = "each is a column")]
struct Change {
    actors: i32,
    was_unread: bool,
    is_unread: bool,
    /// Whether the receiver's log tells of it.
    tells: bool,
    /// When the actor acted: what is done again keeps its time.
    at: OffsetDateTime,
    /// Whether the receiver was ever told of this actor.
    is_told: bool,
    /// Whether the actor took back what was not read.
    undone_unread: bool,
}

impl Change {
    /// Like and follow tell of each actor once: who takes it back and does it again leaves the notification
    /// where it was, read or unread.
    fn of(known: Option<&Known>, notice: &Notice, is_read: bool) -> Self {
        let was_active = known.and_then(|known| known.active).unwrap_or(false);
        let was_unread = known.is_some_and(|known| !known.is_read);
        let was_told = known.and_then(|known| known.is_told).unwrap_or(false);
        let undone_unread = known.and_then(|known| known.undone_unread);
        let before = known.map_or(0, |known| known.actor_count);
        let actors = before + i32::from(notice.active) - i32::from(was_active);
        let tells = notice.active && !is_read && !(notice.kind.is_switched() && was_told);
        let is_again_unread = notice.active && undone_unread.unwrap_or(false);
        Self {
            actors,
            was_unread,
            is_unread: actors > 0 && (tells || was_unread || is_again_unread),
            tells,
            at: known
                .and_then(|known| known.at)
                .filter(|_| notice.active && notice.kind.is_switched() && !tells)
                .unwrap_or(notice.at),
            is_told: was_told || notice.active,
            undone_unread: !notice.active
                && if was_active { was_unread } else { undone_unread.unwrap_or(true) },
        }
    }
}

/// Adds the actor to the receiver's notification of this kind and target, or takes it away. Only a
/// greater version than the actor's last is applied. Returns the number of the log's new row; none is
/// written for what takes something back, or `is_read` already.
pub async fn record(tx: &Tx, event: EventId, notice: &Notice, is_read: bool) -> Result<Option<i64>> {
    log::lock(tx, &[notice.receiver]).await?;
    // A statement of its own: it sees what the lock has waited for.
    let sql = "select n.actor_count, n.is_read, a.active, a.version, a.at, a.is_told, a.undone_unread
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
    let change = Change::of(known.as_ref(), notice, is_read);
    let n = write(tx, event, notice, &change).await?;
    Ok(change.tells.then_some(n))
}

#[derive(FromQueryResult)]
struct Numbered {
    n: i64,
}

/// Writes all that a notice changes with one statement.
async fn write(tx: &Tx, event: EventId, notice: &Notice, change: &Change) -> Result<i64> {
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
            insert into notification_actors
                (notification_id, actor_id, active, version, at, is_told, undone_unread)
            select id, $8, $9, $10, $7, $16, $17 from notification
            on conflict (notification_id, actor_id) do update set
                active = excluded.active, version = excluded.version, at = excluded.at,
                is_told = excluded.is_told, undone_unread = excluded.undone_unread
        ), log as (
            insert into receiver_log (user_id, n, topic, ref_id, event_id, at)
            select user_id, n + 1, $11, notification.id, $12, $13
            from receivers, notification where user_id = $2 and $15
        )
        update receivers set n = n + $15::integer, unread_count = unread_count + $14
        where user_id = $2 returning n";
    let values = [
        NotificationId::make(tx.clock(), tx.slot()).uuid().into(),
        notice.receiver.uuid().into(),
        (notice.kind as i16).into(),
        notice.target.into(),
        change.actors.into(),
        change.is_unread.into(),
        change.at.into(),
        notice.actor.uuid().into(),
        notice.active.into(),
        notice.version.into(),
        (LogTopic::Notification as i16).into(),
        event.uuid().into(),
        tx.clock().now().into(),
        (i32::from(change.is_unread) - i32::from(change.was_unread)).into(),
        change.tells.into(),
        change.is_told.into(),
        change.undone_unread.into(),
    ];
    let row =
        Numbered::find_by_statement(sql_with(sql, values)).one(tx.connection()).await.map_err(failure)?;
    row.map(|row| row.n).ok_or_else(log::gone)
}
