//! Notifications against what they are about.

use sea_orm::FromQueryResult;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::Result;
use crate::model::id::Kind;
use crate::store::shard::failure;
use crate::store::{Connection, sql_with};

/// A notification that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Shown {
    pub id: Uuid,
    pub user_id: Uuid,
    pub kind: i16,
    pub target_id: Uuid,
    pub updated_at: OffsetDateTime,
}

/// The next notifications behind `after` that are shown, by their ids.
pub async fn page(connection: &Connection, after: Uuid, limit: i64) -> Result<Vec<Shown>> {
    let sql = "select id, user_id, kind, target_id, updated_at from notifications
        where id > $1 and actor_count > 0 order by id limit $2";
    Shown::find_by_statement(sql_with(sql, [after.into(), limit.into()]))
        .all(connection)
        .await
        .map_err(failure)
}

#[derive(FromQueryResult)]
struct Id {
    id: Uuid,
}

/// Those of these notifications whose post, comment or conversation is gone, or whose receiver is no member of the
/// conversation. A post that was deleted just now may not have been purged yet.
pub async fn without_target(connection: &Connection, shown: Vec<Shown>) -> Result<Vec<Uuid>> {
    let sql = "select asked.id
        from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[]) asked (id, user_id, target_id, target_kind)
        where not case asked.target_kind
            when $5 then exists (select from posts where posts.id = target_id
                and (deleted_at is null or deleted_at > now() - interval '1 hour'))
            when $6 then exists (select from comments join posts on posts.id = comments.post_id
                where comments.id = target_id
                and (deleted_at is null or deleted_at > now() - interval '1 hour'))
            when $7 then exists (select from members
                where conversation_id = target_id and members.user_id = asked.user_id)
            else true end";
    let kind = |shown: &Shown| Kind::of(shown.target_id).map_or(-1, |kind| kind as i16);
    let values = [
        shown.iter().map(|shown| shown.id).collect::<Vec<_>>().into(),
        shown.iter().map(|shown| shown.user_id).collect::<Vec<_>>().into(),
        shown.iter().map(|shown| shown.target_id).collect::<Vec<_>>().into(),
        shown.iter().map(kind).collect::<Vec<_>>().into(),
        (Kind::Post as i16).into(),
        (Kind::Comment as i16).into(),
        (Kind::Conversation as i16).into(),
    ];
    let rows = Id::find_by_statement(sql_with(sql, values)).all(connection).await.map_err(failure)?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}
