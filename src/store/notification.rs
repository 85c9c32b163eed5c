//! Notifications, who caused them, and the numbered log of what a receiver was told.
//!
//! All writes for one receiver hold the lock on its row in `receivers`, and take it first.

mod withdraw;

use std::sync::LazyLock;

use sea_orm::FromQueryResult;
use sea_orm::entity::prelude::*;
use time::OffsetDateTime;

use super::coalesce::Batch;
use super::columns::columns;
use super::shard::failure;
use super::{Connection, Tx, log, sql_with};
use crate::model::Result;
use crate::model::id::{EventId, NotificationId, Slot, UserId};
use crate::model::notification::{Kind, Notice};
use crate::model::page::Page;
use crate::model::stream::LogTopic;

pub use withdraw::{Target, withdraw, withdraw_messages};

/// How many actors of a notification are read with it.
pub const MAX_ACTORS: usize = 10;

/// A notification. `kind` is the number of `model::notification::Kind`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "notifications")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub kind: i16,
    pub target_id: Uuid,
    /// How many people caused it and have not taken it back; with none it is hidden.
    pub actor_count: i32,
    pub is_read: bool,
    pub created_at: OffsetDateTime,
    /// When the newest of its actors acted.
    pub updated_at: OffsetDateTime,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The columns of a row, as statements name them.
static COLUMNS: LazyLock<String> = LazyLock::new(columns::<Entity>);

impl Model {
    pub fn id(&self) -> NotificationId {
        NotificationId::from_row(self.id)
    }

    pub fn receiver(&self) -> UserId {
        UserId::from_row(self.user_id)
    }
}

/// The numbers of kinds, as they are stored.
fn numbers(kinds: &[Kind]) -> Vec<i16> {
    kinds.iter().map(|kind| *kind as i16).collect()
}

/// Notifications by id; without the hidden ones, and those of kinds that only a newer program knows.
pub struct ById;

impl Batch for ById {
    type Key = NotificationId;
    type Row = Model;

    fn slot(key: &NotificationId) -> Slot {
        key.slot()
    }

    async fn fetch(
        connection: &Connection,
        keys: Vec<NotificationId>,
    ) -> Result<Vec<(NotificationId, Model)>> {
        let ids: Vec<Uuid> = keys.into_iter().map(NotificationId::uuid).collect();
        let rows = Entity::find()
            .filter(Column::Id.eq_any(ids))
            .filter(Column::ActorCount.gt(0))
            .filter(Column::Kind.eq_any(numbers(&Kind::ALL)))
            .all(connection)
            .await
            .map_err(failure)?;
        Ok(rows.into_iter().map(|row| (row.id(), row)).collect())
    }
}

/// The newest actors of a notification: a question about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ActorsOf(pub NotificationId);

/// The newest actors of notifications, [`MAX_ACTORS`] of each.
pub struct FirstActors;

#[derive(FromQueryResult)]
struct Actors {
    id: Uuid,
    actors: Vec<Uuid>,
}

impl Batch for FirstActors {
    type Key = ActorsOf;
    type Row = Vec<UserId>;

    fn slot(key: &ActorsOf) -> Slot {
        key.0.slot()
    }

    async fn fetch(connection: &Connection, keys: Vec<ActorsOf>) -> Result<Vec<(ActorsOf, Vec<UserId>)>> {
        let ids: Vec<Uuid> = keys.into_iter().map(|key| key.0.uuid()).collect();
        let sql = "select asked.id, array(
                select actor_id from notification_actors
                where notification_id = asked.id and active order by at desc, actor_id limit $2
            ) as actors
            from unnest($1::uuid[]) as asked (id)";
        let limit = i64::try_from(MAX_ACTORS).unwrap_or(i64::MAX);
        let rows = Actors::find_by_statement(sql_with(sql, [ids.into(), limit.into()]))
            .all(connection)
            .await
            .map_err(failure)?;
        let key = |id| ActorsOf(NotificationId::from_row(id));
        Ok(rows
            .into_iter()
            .map(|row| (key(row.id), row.actors.into_iter().map(UserId::from_row).collect()))
            .collect())
    }
}

/// How many notifications a user has not read: a question about the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UnreadOf(pub UserId);

/// The numbers of unread notifications. Who was never told anything is absent.
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

/// A page of a user's notifications of these kinds, or of all that this program knows; the newest first.
pub async fn list(
    connection: &Connection,
    user: UserId,
    page: &Page,
    kinds: Option<&[Kind]>,
) -> Result<Vec<Model>> {
    let after = page.after.map(|place| Ok((place.time()?, place.id))).transpose()?;
    let (time, id) = after.map_or((None, Uuid::max()), |(time, id)| (Some(time), id));
    let kinds = numbers(kinds.unwrap_or(&Kind::ALL));
    let columns = &*COLUMNS;
    let sql = format!(
        "select {columns} from notifications
        where user_id = $1 and actor_count > 0
            and (updated_at, id) < (coalesce($2::timestamptz, 'infinity'), $3::uuid)
            and kind = any($4)
        order by updated_at desc, id desc limit $5"
    );
    let values = [user.uuid().into(), time.into(), id.into(), kinds.into(), page.limit().into()];
    Model::find_by_statement(sql_with(&sql, values)).all(connection).await.map_err(failure)
}

/// A user's unread notifications of the kinds that this program knows, the newest first.
pub async fn unread(connection: &Connection, user: UserId, limit: i64) -> Result<Vec<Model>> {
    let columns = &*COLUMNS;
    let sql = format!(
        "select {columns} from notifications
        where user_id = $1 and not is_read and actor_count > 0 and kind = any($2)
        order by updated_at desc limit $3"
    );
    let values = [user.uuid().into(), numbers(&Kind::ALL).into(), limit.into()];
    Model::find_by_statement(sql_with(&sql, values)).all(connection).await.map_err(failure)
}

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
    row.map(|row| row.n).ok_or_else(gone)
}

#[derive(FromQueryResult)]
struct Left {
    unread_count: i32,
}

/// Marks one notification of this user; returns how many are left unread.
pub async fn mark_read(tx: &Tx, user: UserId, id: NotificationId) -> Result<i32> {
    log::lock(tx, &[user]).await?;
    let sql = "with done as (
            update notifications set is_read = true
            where id = $1 and user_id = $2 and not is_read returning id)
        update receivers set unread_count = unread_count - (select count(*) from done)::integer
        where user_id = $2 returning unread_count";
    let values = [id.uuid().into(), user.uuid().into()];
    let left = Left::find_by_statement(sql_with(sql, values)).one(tx.connection()).await.map_err(failure)?;
    left.map(|left| left.unread_count).ok_or_else(gone)
}

#[derive(FromQueryResult)]
struct Found {
    id: Uuid,
}

/// The same for the notification of a kind that is about this target, if there is one that is not read.
pub async fn mark_read_about(tx: &Tx, user: UserId, kind: i16, target: Uuid) -> Result<()> {
    let sql = "select id from notifications
        where user_id = $1 and kind = $2 and target_id = $3 and not is_read and actor_count > 0";
    let statement = sql_with(sql, [user.uuid().into(), kind.into(), target.into()]);
    match Found::find_by_statement(statement).one(tx.connection()).await.map_err(failure)? {
        Some(unread) => mark_read(tx, user, NotificationId::from_row(unread.id)).await.map(|_| ()),
        None => Ok(()),
    }
}

/// Marks all notifications of this user that are not newer than a place in the list; returns how many
/// are left unread.
pub async fn mark_all_read(tx: &Tx, user: UserId, up_to: Option<(OffsetDateTime, Uuid)>) -> Result<i32> {
    log::lock(tx, &[user]).await?;
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
    left.map(|left| left.unread_count).ok_or_else(gone)
}

fn gone() -> crate::model::Error {
    crate::model::Error::internal(anyhow::anyhow!("a receiver's row went while it was locked"))
}
