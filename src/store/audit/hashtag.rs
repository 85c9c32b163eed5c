//! The posts of hashtags against the captions' tags, and the counts of tags.

use sea_orm::FromQueryResult;
use sea_orm::entity::prelude::*;
use time::OffsetDateTime;

use crate::model::Result;
use crate::store::shard::failure;
use crate::store::{Connection, Tx, sql_with};

/// A post as its author's shard has it; a deleted one until its rows are purged.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Tagged {
    pub id: Uuid,
    pub hashtags: Vec<String>,
    pub edited_at: Option<OffsetDateTime>,
    pub deleted_at: Option<OffsetDateTime>,
    /// When it last became what it is.
    pub changed_at: OffsetDateTime,
}

const TAGGED: &str = "select id, hashtags, edited_at, deleted_at,
    coalesce(deleted_at, edited_at, created_at) as changed_at from posts";

/// The next posts with tags behind `after`, without the deleted ones.
pub async fn tagged(connection: &Connection, after: Uuid, limit: i64) -> Result<Vec<Tagged>> {
    let sql = format!(
        "{TAGGED} where id > $1 and deleted_at is null and cardinality(hashtags) > 0 order by id limit $2"
    );
    Tagged::find_by_statement(sql_with(&sql, [after.into(), limit.into()]))
        .all(connection)
        .await
        .map_err(failure)
}

/// These posts.
pub async fn posts(connection: &Connection, ids: Vec<Uuid>) -> Result<Vec<Tagged>> {
    let sql = format!("{TAGGED} where id = any($1)");
    Tagged::find_by_statement(sql_with(&sql, [ids.into()])).all(connection).await.map_err(failure)
}

/// A post's place in a tag's list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, FromQueryResult)]
pub struct Entry {
    pub slot: i16,
    pub name: String,
    pub post_id: Uuid,
}

fn columns(entries: Vec<Entry>) -> [sea_orm::Value; 3] {
    let slots: Vec<i16> = entries.iter().map(|entry| entry.slot).collect();
    let posts: Vec<Uuid> = entries.iter().map(|entry| entry.post_id).collect();
    let names: Vec<String> = entries.into_iter().map(|entry| entry.name).collect();
    [slots.into(), names.into(), posts.into()]
}

/// Those of these entries that are not in force.
pub async fn missing(connection: &Connection, entries: Vec<Entry>) -> Result<Vec<Entry>> {
    let sql = "select asked.slot, asked.name, asked.post_id
        from unnest($1::smallint[], $2::text[], $3::uuid[]) asked (slot, name, post_id)
        left join hashtag_posts h using (slot, name, post_id) where not coalesce(h.active, false)";
    Entry::find_by_statement(sql_with(sql, columns(entries))).all(connection).await.map_err(failure)
}

/// The next entries in force behind `after`, by their keys.
pub async fn entries(connection: &Connection, after: &Entry, limit: i64) -> Result<Vec<Entry>> {
    let sql = "select slot, name, post_id from hashtag_posts
        where active and (slot, name, post_id) > ($1, $2, $3) order by slot, name, post_id limit $4";
    let values = [after.slot.into(), after.name.as_str().into(), after.post_id.into(), limit.into()];
    Entry::find_by_statement(sql_with(sql, values)).all(connection).await.map_err(failure)
}

/// Those of these entries whose posts don't have the tag, or are not there.
pub async fn untrue(connection: &Connection, entries: Vec<Entry>) -> Result<Vec<Entry>> {
    let sql = "select asked.slot, asked.name, asked.post_id
        from unnest($1::smallint[], $2::text[], $3::uuid[]) asked (slot, name, post_id)
        left join posts p on p.id = asked.post_id and p.deleted_at is null and asked.name = any(p.hashtags)
        where p.id is null";
    Entry::find_by_statement(sql_with(sql, columns(entries))).all(connection).await.map_err(failure)
}

/// Those of these entries that are in force.
pub async fn active(connection: &Connection, entries: Vec<Entry>) -> Result<Vec<Entry>> {
    let sql = "select h.slot, h.name, h.post_id
        from unnest($1::smallint[], $2::text[], $3::uuid[]) asked (slot, name, post_id)
        join hashtag_posts h using (slot, name, post_id) where h.active";
    Entry::find_by_statement(sql_with(sql, columns(entries))).all(connection).await.map_err(failure)
}

/// How many posts a tag says that it has, and how many there are.
#[derive(Debug, Clone, FromQueryResult)]
pub struct TagCount {
    pub slot: i16,
    pub name: String,
    pub stored: i64,
    pub counted: i64,
}

const COUNTED: &str = "select t.slot, t.name, coalesce(h.post_count, 0)::bigint as stored,
    (select count(*) from hashtag_posts p where p.slot = t.slot and p.name = t.name and p.active) as counted";

/// The counts of the next tags behind `after`; also of tags that have posts and no row.
pub async fn counts(connection: &Connection, after: (i16, &str), limit: i64) -> Result<Vec<TagCount>> {
    let sql = format!(
        "{COUNTED} from (
            (select slot, name from hashtags where (slot, name) > ($1, $2) order by slot, name limit $3)
            union
            (select distinct slot, name from hashtag_posts
                where active and (slot, name) > ($1, $2) order by slot, name limit $3)
            order by slot, name limit $3) t
        left join hashtags h using (slot, name) order by t.slot, t.name"
    );
    let values = [after.0.into(), after.1.into(), limit.into()];
    TagCount::find_by_statement(sql_with(&sql, values)).all(connection).await.map_err(failure)
}

/// Counts a tag's posts once more, under the lock on its row, and, if told so, writes what was counted.
/// None where both are the same.
pub async fn look_again(tx: &Tx, name: &str, mend: bool) -> Result<Option<TagCount>> {
    let slot = tx.slot().column();
    let connection = tx.connection();
    let hold = if mend {
        "insert into hashtags (slot, name, post_count) values ($1, $2, 0)
            on conflict (slot, name) do update set post_count = hashtags.post_count"
    } else {
        "select from hashtags where slot = $1 and name = $2 for update"
    };
    connection.execute_raw(sql_with(hold, [slot.into(), name.into()])).await.map_err(failure)?;
    let sql = format!(
        "{COUNTED} from (select $1::smallint as slot, $2::text as name) t left join hashtags h using (slot, name)"
    );
    let found = TagCount::find_by_statement(sql_with(&sql, [slot.into(), name.into()]))
        .one(connection)
        .await
        .map_err(failure)?;
    let Some(found) = found.filter(|found| found.stored != found.counted) else { return Ok(None) };
    if mend {
        let write = "update hashtags set post_count = $3 where slot = $1 and name = $2";
        let values = [slot.into(), name.into(), found.counted.into()];
        connection.execute_raw(sql_with(write, values)).await.map_err(failure)?;
    }
    Ok(Some(found))
}
