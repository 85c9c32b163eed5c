//! Posts; in their author's slot.

use std::collections::HashSet;

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, FromQueryResult, QueryOrder, QuerySelect};
use time::OffsetDateTime;

use super::coalesce::Batch;
use super::shard::failure;
use super::statement::{array_literal, column, id_array_literal};
use super::{Connection, Tx, sql_with};
use crate::model::Result;
use crate::model::id::{ConversationId, MediaId, PostId, Slot, UserId};

/// A post's row. `comment_policy` is the number of [`crate::model::contact::ContactPolicy`].
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "posts")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub author_id: Uuid,
    pub caption: Option<String>,
    pub location: Option<String>,
    pub media_ids: Vec<Uuid>,
    pub hashtags: Vec<String>,
    pub mention_ids: Vec<Uuid>,
    pub sensitive: bool,
    pub comment_policy: i16,
    pub likes_disabled: bool,
    pub like_count: i32,
    pub comment_count: i32,
    pub created_at: OffsetDateTime,
    pub edited_at: Option<OffsetDateTime>,
    pub deleted_at: Option<OffsetDateTime>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    pub fn id(&self) -> PostId {
        PostId::from_row(self.id)
    }

    pub fn author(&self) -> UserId {
        UserId::from_row(self.author_id)
    }

    pub fn media(&self) -> impl Iterator<Item = MediaId> + '_ {
        self.media_ids.iter().copied().map(MediaId::from_row)
    }

    pub fn mentions(&self) -> impl Iterator<Item = UserId> + '_ {
        self.mention_ids.iter().copied().map(UserId::from_row)
    }
}

/// Posts by id, without the deleted ones.
pub struct ById;

impl Batch for ById {
    type Key = PostId;
    type Row = Model;

    fn slot(key: &PostId) -> Slot {
        key.slot()
    }

    async fn fetch(connection: &Connection, keys: Vec<PostId>) -> Result<Vec<(PostId, Model)>> {
        let ids: Vec<Uuid> = keys.into_iter().map(PostId::uuid).collect();
        let rows = Entity::find()
            .filter(Column::Id.eq_any(ids))
            .filter(Column::DeletedAt.is_null())
            .all(connection)
            .await
            .map_err(failure)?;
        Ok(rows.into_iter().map(|row| (row.id(), row)).collect())
    }
}

/// Inserts new posts.
pub async fn insert(tx: &Tx, posts: &[Model]) -> Result<()> {
    let sql =
        "insert into posts (id, author_id, caption, location, media_ids, hashtags, mention_ids, sensitive,
            comment_policy, likes_disabled, created_at)
        select id, author_id, nullif(caption, ''), nullif(location, ''), media_ids::uuid[], hashtags::text[],
            mention_ids::uuid[], sensitive, comment_policy, likes_disabled, created_at
        from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::boolean[], $9::smallint[], $10::boolean[], $11::timestamptz[])
            as post (id, author_id, caption, location, media_ids, hashtags, mention_ids, sensitive,
                comment_policy, likes_disabled, created_at)";
    let values = [
        column(posts, |post| post.id),
        column(posts, |post| post.author_id),
        column(posts, |post| post.caption.clone().unwrap_or_default()),
        column(posts, |post| post.location.clone().unwrap_or_default()),
        column(posts, |post| id_array_literal(&post.media_ids)),
        column(posts, |post| array_literal(&post.hashtags)),
        column(posts, |post| id_array_literal(&post.mention_ids)),
        column(posts, |post| post.sensitive),
        column(posts, |post| post.comment_policy),
        column(posts, |post| post.likes_disabled),
        column(posts, |post| post.created_at),
    ];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}

/// The row of a post that may be deleted.
pub async fn find(connection: &Connection, id: PostId) -> Result<Option<Model>> {
    Entity::find_by_id(id.uuid()).one(connection).await.map_err(failure)
}

/// The row, locked until the transaction ends; `None` if it is deleted.
pub async fn lock(tx: &Tx, id: PostId) -> Result<Option<Model>> {
    Entity::find_by_id(id.uuid())
        .filter(Column::DeletedAt.is_null())
        .lock_exclusive()
        .one(tx.connection())
        .await
        .map_err(failure)
}

/// Writes the fields that an author can change.
pub async fn update(tx: &Tx, post: &Model) -> Result<()> {
    let change = ActiveModel {
        id: Set(post.id),
        caption: Set(post.caption.clone()),
        location: Set(post.location.clone()),
        hashtags: Set(post.hashtags.clone()),
        mention_ids: Set(post.mention_ids.clone()),
        sensitive: Set(post.sensitive),
        comment_policy: Set(post.comment_policy),
        likes_disabled: Set(post.likes_disabled),
        edited_at: Set(post.edited_at),
        ..Default::default()
    };
    change.update_without_returning(tx.connection()).await.map_err(failure)?;
    Ok(())
}

pub async fn mark_deleted(tx: &Tx, id: PostId, at: OffsetDateTime) -> Result<()> {
    let sql = "update posts set deleted_at = $2 where id = $1";
    tx.connection().execute_raw(sql_with(sql, [id.uuid().into(), at.into()])).await.map_err(failure)?;
    Ok(())
}

/// Deletes the rows of a deleted post, with its comments and likes.
pub async fn purge(connection: &Connection, id: PostId) -> Result<()> {
    let sql = "delete from conversations where id = $1";
    let thread = ConversationId::of_post(id);
    connection.execute_raw(sql_with(sql, [thread.uuid().into()])).await.map_err(failure)?;
    let sql = "delete from posts where id = $1 and deleted_at is not null";
    connection.execute_raw(sql_with(sql, [id.uuid().into()])).await.map_err(failure)?;
    Ok(())
}

/// An author's posts, newest first, from behind `before`.
pub async fn of_author(
    connection: &Connection,
    author: UserId,
    before: Option<PostId>,
    limit: u64,
) -> Result<Vec<Model>> {
    let mut query =
        Entity::find().filter(Column::AuthorId.eq(author.uuid())).filter(Column::DeletedAt.is_null());
    if let Some(before) = before {
        query = query.filter(Column::Id.lt(before.uuid()));
    }
    query.order_by_desc(Column::Id).limit(limit).all(connection).await.map_err(failure)
}

#[derive(FromQueryResult)]
struct Id {
    id: Uuid,
}

/// Like [`existing`], within a transaction.
pub async fn existing_in(tx: &Tx, posts: &[PostId]) -> Result<HashSet<PostId>> {
    existing(tx.connection(), posts).await
}

/// Those of these posts, all on one shard, that are not deleted.
pub async fn existing(connection: &Connection, posts: &[PostId]) -> Result<HashSet<PostId>> {
    if posts.is_empty() {
        return Ok(HashSet::new());
    }
    let ids: Vec<Uuid> = posts.iter().map(|post| post.uuid()).collect();
    let sql = "select id from posts where id = any($1) and deleted_at is null";
    let rows = Id::find_by_statement(sql_with(sql, [ids.into()])).all(connection).await.map_err(failure)?;
    Ok(rows.into_iter().map(|row| PostId::from_row(row.id)).collect())
}

/// The newest posts of these authors, all on one shard, newest first; for feeds. Each author's newest are
/// read by index, so the cost does not depend on how much they have posted.
pub async fn newest_of(connection: &Connection, authors: &[UserId], limit: i64) -> Result<Vec<PostId>> {
    let authors: Vec<Uuid> = authors.iter().map(|author| author.uuid()).collect();
    let sql = "select newest.id from unnest($1::uuid[]) author (id) cross join lateral (
            select id from posts where author_id = author.id and deleted_at is null order by id desc limit $2
        ) newest order by newest.id desc limit $2";
    let rows = Id::find_by_statement(sql_with(sql, [authors.into(), limit.into()]))
        .all(connection)
        .await
        .map_err(failure)?;
    Ok(rows.into_iter().map(|row| PostId::from_row(row.id)).collect())
}
