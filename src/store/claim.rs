//! Claims on names: one row for each name in use, in the slot of the name.
//!
//! Each update compares holder, state and expiry, so when two race, one finds that it came too late.

use std::sync::LazyLock;

use sea_orm::entity::prelude::*;
use sea_orm::{FromQueryResult, IntoActiveModel, TryInsertResult};
use time::OffsetDateTime;

use super::columns::columns;
use super::shard::{Shard, failure};
use super::{Connection, Tx, sql_with};
use crate::model::claim::{ClaimState, Name};
use crate::model::id::UserId;
use crate::model::{Error, Result};

/// A claim's row. `kind` and `state` are the numbers of `model::claim`'s enums.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "claims")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub slot: i16,
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: i16,
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    pub user_id: Uuid,
    pub state: i16,
    pub fence: Option<i32>,
    pub expires_at: OffsetDateTime,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The columns of a row, as statements name them.
pub(super) static COLUMNS: LazyLock<String> = LazyLock::new(columns::<Entity>);

fn key(name: &Name) -> (i16, i16, String) {
    (name.slot().column(), name.kind().column(), name.text().to_owned())
}

/// The claim on a name.
pub async fn find(connection: &Connection, name: &Name) -> Result<Option<Model>> {
    Entity::find_by_id(key(name)).one(connection).await.map_err(failure)
}

/// Claims a free name. If the name is taken, its claim is returned.
pub async fn take(tx: &Tx, wanted: &Model) -> Result<Option<Model>> {
    // Twice, because the name may be released between the two statements.
    for _ in 0..2 {
        let inserted = Entity::insert(wanted.clone().into_active_model())
            .on_conflict_do_nothing()
            .exec_without_returning(tx.connection())
            .await
            .map_err(failure)?;
        // A row that was skipped by `on conflict` is reported as `Inserted(0)`.
        if matches!(inserted, TryInsertResult::Inserted(1)) {
            return Ok(None);
        }
        let id = (wanted.slot, wanted.kind, wanted.name.clone());
        let held = Entity::find_by_id(id).one(tx.connection()).await.map_err(failure)?;
        if held.is_some() {
            return Ok(held);
        }
    }
    Err(Error::Conflict("The name is just being given up; try again."))
}

const UNCHANGED: &str =
    "slot = $1 and kind = $2 and name = $3 and user_id = $4 and state = $5 and expires_at = $6";

fn unchanged(claim: &Model) -> [Value; 6] {
    [
        claim.slot.into(),
        claim.kind.into(),
        claim.name.clone().into(),
        claim.user_id.into(),
        claim.state.into(),
        claim.expires_at.into(),
    ]
}

/// Replaces a claim by another of the same user. False if it was changed meanwhile.
pub async fn change(tx: &Tx, from: &Model, to: &Model) -> Result<bool> {
    let sql = format!("update claims set state = $7, fence = $8, expires_at = $9 where {UNCHANGED}");
    let [slot, kind, name, user, state, expires_at] = unchanged(from);
    let values =
        [slot, kind, name, user, state, expires_at, to.state.into(), to.fence.into(), to.expires_at.into()];
    let done = tx.connection().execute_raw(sql_with(&sql, values)).await.map_err(failure)?;
    Ok(done.rows_affected() == 1)
}

/// Releases the name. False if the claim was changed meanwhile.
pub async fn free(tx: &Tx, claim: &Model) -> Result<bool> {
    let sql = format!("delete from claims where {UNCHANGED}");
    let done = tx.connection().execute_raw(sql_with(&sql, unchanged(claim))).await.map_err(failure)?;
    Ok(done.rows_affected() == 1)
}

/// Reserves the user's former name for them until then, in whatever state the claim is.
pub async fn rest(tx: &Tx, name: &Name, user: Uuid, until: OffsetDateTime) -> Result<()> {
    let sql = "update claims set state = $5, expires_at = $6
        where slot = $1 and kind = $2 and name = $3 and user_id = $4";
    let (slot, kind, text) = key(name);
    let state = ClaimState::Resting as i16;
    let values = [slot.into(), kind.into(), text.into(), user.into(), state.into(), until.into()];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}

/// Leases expired, unconfirmed claims of this shard by moving their expiry to `until`: no other worker takes
/// them before, and one that can't be settled does not hold up the others.
pub async fn lease_due(
    shard: &Shard,
    now: OffsetDateTime,
    until: OffsetDateTime,
    limit: u32,
) -> Result<Vec<Model>> {
    let sql = "update claims set expires_at = $2 where (slot, kind, name) in (
            select slot, kind, name from claims where state <> 1 and expires_at <= $1
            order by expires_at limit $3 for update skip locked)
        returning slot, kind, name, user_id, state, fence, expires_at";
    let statement = sql_with(sql, [now.into(), until.into(), i64::from(limit).into()]);
    shard
        .ask(async |connection| {
            Entity::find().from_raw_sql(statement).all(&connection).await.map_err(failure)
        })
        .await
}

#[derive(FromQueryResult)]
struct Owner {
    user_id: Uuid,
}

/// Who claims these names, all on one shard.
pub async fn owners(connection: &Connection, names: &[Name]) -> Result<Vec<UserId>> {
    let slots: Vec<i16> = names.iter().map(|name| name.slot().column()).collect();
    let kinds: Vec<i16> = names.iter().map(|name| name.kind().column()).collect();
    let texts: Vec<String> = names.iter().map(|name| name.text().to_owned()).collect();
    let sql =
        "select user_id from unnest($1::smallint[], $2::smallint[], $3::text[]) wanted (slot, kind, name)
        join claims using (slot, kind, name)";
    let rows = Owner::find_by_statement(sql_with(sql, [slots.into(), kinds.into(), texts.into()]))
        .all(connection)
        .await
        .map_err(failure)?;
    Ok(rows.into_iter().map(|row| UserId::from_row(row.user_id)).collect())
}
