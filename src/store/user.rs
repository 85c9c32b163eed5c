//! Users and their credentials.

use std::collections::{BTreeMap, HashSet};

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, FromQueryResult, IntoActiveModel, QuerySelect, Statement};
use time::OffsetDateTime;

use super::coalesce::Batch;
use super::shard::{Shard, failure};
use super::{Connection, Slots, Tx, sql_with};
use crate::model::Result;
use crate::model::account::AccountState;
use crate::model::id::{MediaId, Slot, UserId};

/// A user's row. `role` and `state` are the numbers of `model::account`'s enums, `messages_from` that of
/// `model::contact::ContactPolicy`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub username: String,
    pub email: String,
    pub email_verified: bool,
    pub full_name: Option<String>,
    pub bio: Option<String>,
    pub website: Option<String>,
    pub avatar_id: Option<Uuid>,
    pub role: i16,
    pub state: i16,
    pub is_verified: bool,
    pub post_count: i32,
    pub follower_count: i32,
    pub following_count: i32,
    pub name_fence: i32,
    pub messages_from: i16,
    pub is_private: bool,
    pub created_at: OffsetDateTime,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn id(&self) -> UserId {
        UserId::from_row(self.id)
    }

    pub fn avatar(&self) -> Option<MediaId> {
        self.avatar_id.map(MediaId::from_row)
    }

    /// Whether the account is in use: not suspended, deactivated or about to be deleted.
    pub fn is_active(&self) -> bool {
        self.state == AccountState::Active as i16
    }
}

/// Users by id. Aborted sign-ups are not users.
pub struct ById;

impl Batch for ById {
    type Key = UserId;
    type Row = Model;

    fn slot(key: &UserId) -> Slot {
        key.slot()
    }

    async fn fetch(connection: &Connection, keys: Vec<UserId>) -> Result<Vec<(UserId, Model)>> {
        let ids: Vec<Uuid> = keys.into_iter().map(UserId::uuid).collect();
        let rows = Entity::find()
            .filter(Column::Id.eq_any(ids))
            .filter(Column::State.ne(AccountState::Aborted as i16))
            .all(connection)
            .await
            .map_err(failure)?;
        Ok(rows.into_iter().map(|row| (row.id(), row)).collect())
    }
}

/// Ids of this shard's users, newest first, before `before`: all, or only verified or unverified ones. Rows
/// of slots that the shard does not own are skipped.
pub async fn newest(
    connection: &Connection,
    slots: &Slots,
    before: Uuid,
    verified: Option<bool>,
    limit: i64,
) -> Result<Vec<Uuid>> {
    let statement = newest_statement(slots, before, verified, limit);
    let rows = Id::find_by_statement(statement).all(connection).await.map_err(failure)?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}

/// The statement of [`newest`]: it reads `limit` rows from an index, and those it skips.
pub fn newest_statement(slots: &Slots, before: Uuid, verified: Option<bool>, limit: i64) -> Statement {
    let which = match verified {
        None => "",
        Some(true) => "and is_verified",
        Some(false) => "and not is_verified",
    };
    let sql = format!(
        "select id from users where id < $1 and state <> 9 {which}
         and $2::text::int4multirange @> slot_of(id) order by id desc limit $3"
    );
    sql_with(&sql, [before.into(), slots.to_string().into(), limit.into()])
}

#[derive(FromQueryResult)]
struct Id {
    id: Uuid,
}

/// Inserts a user with its password. False if a row with this id exists, which for a sign-up means that the
/// reconciler has aborted it.
pub async fn insert(tx: &Tx, user: Model, password_hash: &str) -> Result<bool> {
    let id = user.id;
    let inserted = Entity::insert(user.into_active_model())
        .on_conflict_do_nothing()
        .exec_without_returning(tx.connection())
        .await
        .map_err(failure)?;
    // A row that was skipped by `on conflict` is reported as `Inserted(0)`.
    if !matches!(inserted, sea_orm::TryInsertResult::Inserted(1)) {
        return Ok(false);
    }
    let sql = "insert into credentials (user_id, password_hash) values ($1, $2)";
    tx.connection().execute_raw(sql_with(sql, [id.into(), password_hash.into()])).await.map_err(failure)?;
    Ok(true)
}

/// The user's row, locked until the transaction ends.
pub async fn lock(tx: &Tx, id: UserId) -> Result<Option<Model>> {
    Entity::find_by_id(id.uuid())
        .filter(Column::State.ne(AccountState::Aborted as i16))
        .lock_exclusive()
        .one(tx.connection())
        .await
        .map_err(failure)
}

/// Those of these users, who lie on one shard, whose accounts are private. All rows are locked until the transaction
/// ends, in the order of ids, so that none becomes private or public meanwhile.
pub async fn lock_private(tx: &Tx, ids: impl Iterator<Item = UserId>) -> Result<HashSet<UserId>> {
    let sql = "with held as materialized (
            select id, is_private from users where id = any($1) order by id for no key update)
        select id from held where is_private";
    let ids: Vec<Uuid> = ids.map(UserId::uuid).collect();
    let rows = Id::find_by_statement(sql_with(sql, [ids.into()])).all(tx.connection()).await;
    Ok(rows.map_err(failure)?.into_iter().map(|row| UserId::from_row(row.id)).collect())
}

/// The user's row as this transaction sees it.
pub async fn find(tx: &Tx, id: UserId) -> Result<Option<Model>> {
    Entity::find_by_id(id.uuid())
        .filter(Column::State.ne(AccountState::Aborted as i16))
        .one(tx.connection())
        .await
        .map_err(failure)
}

/// Writes the profile fields.
pub async fn update_profile(tx: &Tx, user: &Model) -> Result<()> {
    let change = ActiveModel {
        id: Set(user.id),
        username: Set(user.username.clone()),
        full_name: Set(user.full_name.clone()),
        bio: Set(user.bio.clone()),
        website: Set(user.website.clone()),
        avatar_id: Set(user.avatar_id),
        name_fence: Set(user.name_fence),
        is_private: Set(user.is_private),
        ..Default::default()
    };
    change.update_without_returning(tx.connection()).await.map_err(failure)?;
    Ok(())
}

/// Writes the settings.
pub async fn update_settings(tx: &Tx, user: &Model) -> Result<()> {
    let change =
        ActiveModel { id: Set(user.id), messages_from: Set(user.messages_from), ..Default::default() };
    change.update_without_returning(tx.connection()).await.map_err(failure)?;
    Ok(())
}

/// Inserts a marker for a sign-up that has not stored its user yet, so that it can't complete any more. False
/// if the user or the marker exists already.
pub async fn abort(tx: &Tx, id: UserId) -> Result<bool> {
    let sql = "insert into users (id, username, email, state, created_at) values ($1, '', '', $2, $3)
        on conflict do nothing";
    let state = AccountState::Aborted as i16;
    let values = [id.uuid().into(), state.into(), tx.clock().now().into()];
    let done = tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(done.rows_affected() == 1)
}

/// Invalidates changes of name that are in progress.
pub async fn raise_fence(tx: &Tx, id: UserId) -> Result<()> {
    let sql = "update users set name_fence = name_fence + 1 where id = $1";
    tx.connection().execute_raw(sql_with(sql, [id.uuid().into()])).await.map_err(failure)?;
    Ok(())
}

/// Deletes this shard's markers of aborted sign-ups older than that.
pub async fn purge_aborted(shard: &Shard, before: OffsetDateTime, limit: u32) -> Result<u64> {
    let sql = "delete from users where id in (
        select id from users where state = 9 and created_at < $1 limit $2)";
    let statement = sql_with(sql, [before.into(), i64::from(limit).into()]);
    let done = shard.ask(async |connection| connection.execute_raw(statement).await.map_err(failure)).await?;
    Ok(done.rows_affected())
}

/// What is counted in a user's row.
#[derive(Debug, Clone, Copy)]
pub enum Counter {
    Posts,
    Followers,
    Following,
}

/// Adds to a counter, in the transaction that writes the counted row.
pub async fn count(tx: &Tx, id: UserId, counter: Counter, by: i32) -> Result<()> {
    let sql = match counter {
        Counter::Posts => "update users set post_count = post_count + $2 where id = $1",
        Counter::Followers => "update users set follower_count = follower_count + $2 where id = $1",
        Counter::Following => "update users set following_count = following_count + $2 where id = $1",
    };
    tx.connection().execute_raw(sql_with(sql, [id.uuid().into(), by.into()])).await.map_err(failure)?;
    Ok(())
}

/// Adds to a counter of several users of one shard, each given once. Locks in the order of ids, to avoid
/// deadlocks.
pub async fn count_each(tx: &Tx, counter: Counter, by: &BTreeMap<UserId, i32>) -> Result<()> {
    let column = match counter {
        Counter::Posts => "post_count",
        Counter::Followers => "follower_count",
        Counter::Following => "following_count",
    };
    let sql = format!(
        "with held as materialized (select id from users where id = any($1) order by id for no key update)
        update users set {column} = {column} + asked.by
        from held join unnest($1::uuid[], $2::integer[]) as asked (id, by) using (id)
        where users.id = held.id"
    );
    let ids: Vec<Uuid> = by.keys().map(|id| id.uuid()).collect();
    let by: Vec<i32> = by.values().copied().collect();
    tx.connection().execute_raw(sql_with(&sql, [ids.into(), by.into()])).await.map_err(failure)?;
    Ok(())
}

#[derive(FromQueryResult)]
struct Credential {
    password_hash: String,
}

/// The stored password hash, a PHC string.
pub async fn password_hash(connection: &Connection, id: UserId) -> Result<Option<String>> {
    let sql = "select password_hash from credentials where user_id = $1";
    let row = Credential::find_by_statement(sql_with(sql, [id.uuid().into()]))
        .one(connection)
        .await
        .map_err(failure)?;
    Ok(row.map(|row| row.password_hash))
}
