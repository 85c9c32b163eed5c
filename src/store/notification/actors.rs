//! The actors of notifications: who caused them.

use sea_orm::FromQueryResult;
use uuid::Uuid;

use crate::model::Result;
use crate::model::id::{NotificationId, Slot, UserId};
use crate::store::coalesce::Batch;
use crate::store::shard::failure;
use crate::store::{Connection, sql_with};

/// How many actors are read with a notification.
pub const MAX_ACTORS: usize = 10;

/// Key: the newest actors of a notification.
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
