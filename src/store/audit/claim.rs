//! Claims on names against the users that name them.

use sea_orm::FromQueryResult;
use sea_orm::entity::prelude::*;
use time::OffsetDateTime;

use crate::model::Result;
use crate::model::claim::Name;
use crate::store::claim::{COLUMNS, Entity, Model};
use crate::store::shard::failure;
use crate::store::{Connection, sql_with};

/// The next claims behind `after`, by their keys: those that are confirmed, and those whose time was up
/// before `due`.
pub async fn page(
    connection: &Connection,
    after: (i16, i16, &str),
    due: OffsetDateTime,
    limit: i64,
) -> Result<Vec<Model>> {
    let columns = &*COLUMNS;
    let sql = format!(
        "select {columns} from claims
        where (slot, kind, name) > ($1, $2, $3) and (state = 1 or expires_at < $4)
        order by slot, kind, name limit $5"
    );
    let values = [after.0.into(), after.1.into(), after.2.into(), due.into(), limit.into()];
    Entity::find().from_raw_sql(sql_with(&sql, values)).all(connection).await.map_err(failure)
}

#[derive(FromQueryResult)]
struct Place {
    place: i64,
}

/// Which of these claims no user of this shard names.
pub async fn unnamed(connection: &Connection, claims: Vec<Model>) -> Result<Vec<Model>> {
    let sql = "select asked.place
        from unnest($1::uuid[], $2::smallint[], $3::text[]) with ordinality asked (user_id, kind, name, place)
        left join users u on u.id = asked.user_id and u.state <> 9
            and lower(case asked.kind when 0 then u.username else u.email end) = asked.name
        where u.id is null";
    let users: Vec<Uuid> = claims.iter().map(|claim| claim.user_id).collect();
    let kinds: Vec<i16> = claims.iter().map(|claim| claim.kind).collect();
    let names: Vec<String> = claims.iter().map(|claim| claim.name.clone()).collect();
    let rows = Place::find_by_statement(sql_with(sql, [users.into(), kinds.into(), names.into()]))
        .all(connection)
        .await
        .map_err(failure)?;
    Ok(at_places(&claims, &rows))
}

fn at_places<T: Clone>(asked: &[T], rows: &[Place]) -> Vec<T> {
    let place = |row: &Place| asked.get(usize::try_from(row.place - 1).ok()?).cloned();
    rows.iter().filter_map(place).collect()
}

/// A user's names.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Named {
    pub id: Uuid,
    pub username: String,
    pub email: String,
}

/// The next users behind `after`.
pub async fn users(connection: &Connection, after: Uuid, limit: i64) -> Result<Vec<Named>> {
    let sql = "select id, username, email from users where id > $1 and state <> 9 order by id limit $2";
    Named::find_by_statement(sql_with(sql, [after.into(), limit.into()]))
        .all(connection)
        .await
        .map_err(failure)
}

/// Which of these names, which all lie on one shard, are not claimed by these users.
pub async fn unclaimed(connection: &Connection, names: Vec<(Name, Uuid)>) -> Result<Vec<(Name, Uuid)>> {
    let sql = "select asked.place
        from unnest($1::smallint[], $2::smallint[], $3::text[], $4::uuid[])
            with ordinality asked (slot, kind, name, user_id, place)
        left join claims c using (slot, kind, name) where c.user_id is distinct from asked.user_id";
    let slots: Vec<i16> = names.iter().map(|(name, _)| name.slot().column()).collect();
    let kinds: Vec<i16> = names.iter().map(|(name, _)| name.kind().column()).collect();
    let texts: Vec<String> = names.iter().map(|(name, _)| name.text().to_owned()).collect();
    let users: Vec<Uuid> = names.iter().map(|(_, user)| *user).collect();
    let values = [slots.into(), kinds.into(), texts.into(), users.into()];
    let rows = Place::find_by_statement(sql_with(sql, values)).all(connection).await.map_err(failure)?;
    Ok(at_places(&names, &rows))
}
