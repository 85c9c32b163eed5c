//! Sessions: one per sign-in on a device, in the user's slot.

use sea_orm::entity::prelude::*;
use sea_orm::{FromQueryResult, IntoActiveModel, QueryOrder, QuerySelect};
use time::OffsetDateTime;

use super::coalesce::Batch;
use super::shard::{Shard, failure};
use super::{Connection, Tx, sql_with};
use crate::model::Result;
use crate::model::id::{SessionId, Slot, UserId};

/// A session's row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sessions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub user_id: Uuid,
    pub family_key: Vec<u8>,
    pub token_hash: Vec<u8>,
    pub previous_hash: Option<Vec<u8>>,
    pub rotation_salt: Option<Vec<u8>>,
    pub rotated_at: Option<OffsetDateTime>,
    pub device: Option<String>,
    pub ip: Option<String>,
    pub created_at: OffsetDateTime,
    pub last_seen_at: OffsetDateTime,
    pub expires_at: OffsetDateTime,
    pub revoked_at: Option<OffsetDateTime>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn id(&self) -> SessionId {
        SessionId::from_row(self.id)
    }

    pub fn user(&self) -> UserId {
        UserId::from_row(self.user_id)
    }
}

/// What decides whether an access token is in force.
#[derive(Debug, Clone, FromQueryResult)]
pub struct SessionStatus {
    pub id: Uuid,
    pub user_id: Uuid,
    pub revoked: bool,
    pub expires_at: OffsetDateTime,
    pub user_state: i16,
}

/// The status of sessions, by id.
pub struct ById;

impl Batch for ById {
    type Key = SessionId;
    type Row = SessionStatus;

    fn slot(key: &SessionId) -> Slot {
        key.slot()
    }

    async fn fetch(connection: &Connection, keys: Vec<SessionId>) -> Result<Vec<(SessionId, SessionStatus)>> {
        let ids: Vec<Uuid> = keys.into_iter().map(SessionId::uuid).collect();
        let sql =
            "select s.id, s.user_id, s.revoked_at is not null as revoked, s.expires_at, u.state as user_state
            from sessions s join users u on u.id = s.user_id where s.id = any($1)";
        let rows = SessionStatus::find_by_statement(sql_with(sql, [ids.into()]))
            .all(connection)
            .await
            .map_err(failure)?;
        Ok(rows.into_iter().map(|row| (SessionId::from_row(row.id), row)).collect())
    }
}

/// Adds a session.
pub async fn insert(tx: &Tx, session: Model) -> Result<()> {
    let insert = Entity::insert(session.into_active_model());
    insert.exec_without_returning(tx.connection()).await.map_err(failure)?;
    Ok(())
}

/// The session's row, locked until the transaction ends.
pub async fn lock(tx: &Tx, id: SessionId) -> Result<Option<Model>> {
    Entity::find_by_id(id.uuid()).lock_exclusive().one(tx.connection()).await.map_err(failure)
}

/// Writes what a refresh changes.
pub async fn rotate(tx: &Tx, session: &Model) -> Result<()> {
    let sql = "update sessions set token_hash = $2, previous_hash = $3, rotation_salt = $4, rotated_at = $5,
        last_seen_at = $6, expires_at = $7, ip = $8 where id = $1";
    let values = [
        session.id.into(),
        session.token_hash.clone().into(),
        session.previous_hash.clone().into(),
        session.rotation_salt.clone().into(),
        session.rotated_at.into(),
        session.last_seen_at.into(),
        session.expires_at.into(),
        session.ip.clone().into(),
    ];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}

#[derive(FromQueryResult)]
struct Id {
    id: Uuid,
}

/// Revokes one of the user's sessions, or all; returns those that were not revoked before. Uses the
/// database's clock, because others poll by it.
pub async fn revoke(tx: &Tx, user: UserId, only: Option<SessionId>) -> Result<Vec<SessionId>> {
    let sql = "update sessions set revoked_at = clock_timestamp()
        where user_id = $1 and revoked_at is null and ($2::uuid is null or id = $2) returning id";
    let values = [user.uuid().into(), only.map(SessionId::uuid).into()];
    let rows = Id::find_by_statement(sql_with(sql, values)).all(tx.connection()).await.map_err(failure)?;
    Ok(rows.into_iter().map(|row| SessionId::from_row(row.id)).collect())
}

/// Deletes the user's expired sessions.
pub async fn remove_lapsed(tx: &Tx, user: UserId, now: OffsetDateTime) -> Result<()> {
    let sql = "delete from sessions where user_id = $1 and revoked_at is null and expires_at <= $2";
    tx.connection().execute_raw(sql_with(sql, [user.uuid().into(), now.into()])).await.map_err(failure)?;
    Ok(())
}

/// The user's active sessions, last seen first.
pub async fn of_user(
    connection: &Connection,
    user: UserId,
    now: OffsetDateTime,
    limit: u64,
) -> Result<Vec<Model>> {
    Entity::find()
        .filter(Column::UserId.eq(user.uuid()))
        .filter(Column::RevokedAt.is_null())
        .filter(Column::ExpiresAt.gt(now))
        .order_by_desc(Column::LastSeenAt)
        .order_by_desc(Column::Id)
        .limit(limit)
        .all(connection)
        .await
        .map_err(failure)
}

/// Whose session this is, revoked or not.
pub async fn owner(connection: &Connection, id: SessionId) -> Result<Option<UserId>> {
    let row = Entity::find_by_id(id.uuid()).one(connection).await.map_err(failure)?;
    Ok(row.map(|row| row.user()))
}

/// The sessions of this shard that were revoked within the last so many seconds.
pub async fn recently_revoked(shard: &Shard, seconds: f64) -> Result<Vec<SessionId>> {
    let sql = "select id from sessions where revoked_at > clock_timestamp() - make_interval(secs => $1)";
    let statement = sql_with(sql, [seconds.into()]);
    shard
        .ask(async |connection| {
            let rows = Id::find_by_statement(statement).all(&connection).await.map_err(failure)?;
            Ok(rows.into_iter().map(|row| SessionId::from_row(row.id)).collect())
        })
        .await
}

/// Removes sessions of this shard that were revoked 30 days ago.
pub async fn purge(shard: &Shard, limit: u32) -> Result<u64> {
    let sql = "delete from sessions where ctid = any(array(
        select ctid from sessions where revoked_at < now() - interval '30 days' limit $1))";
    let statement = sql_with(sql, [i64::from(limit).into()]);
    let done = shard.ask(async |connection| connection.execute_raw(statement).await.map_err(failure)).await?;
    Ok(done.rows_affected())
}
