//! Notifications, their actors, and the receiver's log.
//!
//! All writes for one receiver first lock its row in `receivers`.

mod actors;
mod read;
mod record;
mod withdraw;

use std::sync::LazyLock;

use sea_orm::FromQueryResult;
use sea_orm::entity::prelude::*;
use time::OffsetDateTime;

use super::coalesce::Batch;
use super::columns::columns;
use super::shard::failure;
use super::{Connection, sql_with};
use crate::model::Result;
use crate::model::id::{NotificationId, Slot, UserId};
use crate::model::notification::Kind;
use crate::model::page::Page;
pub use actors::{ActorsOf, FirstActors, MAX_ACTORS};
pub use read::{UnreadCount, UnreadOf, mark_all_read, mark_read, mark_read_about};
pub use record::{NewNotice, record};
pub use withdraw::{Target, withdraw, withdraw_messages};

/// A notification. `kind` is the number of `model::notification::Kind`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "notifications")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub kind: i16,
    pub target_id: Uuid,
    /// How many users caused it and have not undone that; it is hidden when there are none.
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

/// Notifications by id, without hidden ones and those of kinds that only a newer version knows.
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

/// A page of a user's notifications of these kinds, or of all kinds that this version knows; newest first.
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

/// A user's number of unread notifications, and the newest of them, of the kinds that this program knows. Both are as of one
/// moment, so that those that are hidden can be taken from the number.
pub async fn unread(connection: &Connection, user: UserId, limit: i64) -> Result<(i32, Vec<Model>)> {
    let columns = &*COLUMNS;
    let sql = format!(
        "select unread_count, {columns}
        from (select unread_count from receivers where user_id = $1) as counted
        left join lateral (
            select {columns} from notifications
            where user_id = $1 and not is_read and actor_count > 0 and kind = any($2)
            order by updated_at desc limit $3
        ) as notifications on true"
    );
    let values = [user.uuid().into(), numbers(&Kind::ALL).into(), limit.into()];
    let rows = connection.query_all_raw(sql_with(&sql, values)).await.map_err(failure)?;
    let (mut count, mut unread) = (0, Vec::with_capacity(rows.len()));
    for row in rows {
        count = row.try_get("", "unread_count").map_err(failure)?;
        unread.extend(Model::from_query_result_optional(&row, "").map_err(failure)?);
    }
    Ok((count, unread))
}
