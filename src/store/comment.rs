//! Comments and replies; in their post's slot.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use sea_orm::entity::prelude::*;
use sea_orm::{FromQueryResult, QueryOrder, QuerySelect};
use time::OffsetDateTime;

use super::coalesce::Batch;
use super::columns::columns;
use super::shard::failure;
use super::statement::{column, id_array_literal};
use super::{Connection, Tx, sql_with};
use crate::model::Result;
use crate::model::id::{CommentId, PostId, Slot, UserId};

/// A comment's row. For a reply, `parent_id` is the comment that it answers. `n` is its number within the
/// post, by which the post's stream is read.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "comments")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub post_id: Uuid,
    pub author_id: Uuid,
    pub parent_id: Option<Uuid>,
    pub text: String,
    pub mention_ids: Vec<Uuid>,
    pub reply_count: i32,
    pub n: Option<i64>,
    pub created_at: OffsetDateTime,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The columns of a row, as statements name them.
pub(super) static COLUMNS: LazyLock<String> = LazyLock::new(columns::<Entity>);

impl Model {
    pub fn id(&self) -> CommentId {
        CommentId::from_row(self.id)
    }

    pub fn post(&self) -> PostId {
        PostId::from_row(self.post_id)
    }

    pub fn author(&self) -> UserId {
        UserId::from_row(self.author_id)
    }

    pub fn parent(&self) -> Option<CommentId> {
        self.parent_id.map(CommentId::from_row)
    }

    pub fn mentions(&self) -> impl Iterator<Item = UserId> + '_ {
        self.mention_ids.iter().copied().map(UserId::from_row)
    }
}

/// Comments by id.
pub struct ById;

impl Batch for ById {
    type Key = CommentId;
    type Row = Model;

    fn slot(key: &CommentId) -> Slot {
        key.slot()
    }

    async fn fetch(connection: &Connection, keys: Vec<CommentId>) -> Result<Vec<(CommentId, Model)>> {
        let ids: Vec<Uuid> = keys.into_iter().map(CommentId::uuid).collect();
        let rows = Entity::find().filter(Column::Id.eq_any(ids)).all(connection).await.map_err(failure)?;
        Ok(rows.into_iter().map(|row| (row.id(), row)).collect())
    }
}

#[derive(FromQueryResult)]
struct Number {
    id: Uuid,
    n: i64,
}

/// Adds to the comment counts of posts, each given once. Returns each post's last number; deleted posts are
/// missing. The posts' rows are locked until the transaction ends, so that comments are numbered in commit
/// order and without gaps.
pub async fn count(tx: &Tx, by: &BTreeMap<PostId, i32>) -> Result<HashMap<PostId, i64>> {
    let sql = "with held as materialized (
            select id from posts where id = any($1) and deleted_at is null order by id for no key update)
        update posts set comment_count = comment_count + asked.by, comment_seq = comment_seq + asked.by
        from held join unnest($1::uuid[], $2::integer[]) as asked (id, by) using (id)
        where posts.id = held.id returning posts.id, comment_seq as n";
    let ids: Vec<Uuid> = by.keys().map(|id| id.uuid()).collect();
    let by: Vec<i32> = by.values().copied().collect();
    let rows = Number::find_by_statement(sql_with(sql, [ids.into(), by.into()]))
        .all(tx.connection())
        .await
        .map_err(failure)?;
    Ok(rows.into_iter().map(|row| (PostId::from_row(row.id), row.n)).collect())
}

/// Inserts comments that were counted, and adds them to the reply counts of their parents.
pub async fn insert(tx: &Tx, comments: &[Model]) -> Result<()> {
    let sql = "insert into comments (id, post_id, author_id, parent_id, text, mention_ids, n, created_at)
        select id, post_id, author_id, nullif(parent_id, $9), text, mention_ids::uuid[], n, created_at
        from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::bigint[],
                $8::timestamptz[])
            as comment (id, post_id, author_id, parent_id, text, mention_ids, n, created_at)";
    let values = [
        column(comments, |comment| comment.id),
        column(comments, |comment| comment.post_id),
        column(comments, |comment| comment.author_id),
        column(comments, |comment| comment.parent_id.unwrap_or_default()),
        column(comments, |comment| comment.text.clone()),
        column(comments, |comment| id_array_literal(&comment.mention_ids)),
        column(comments, |comment| comment.n.unwrap_or_default()),
        column(comments, |comment| comment.created_at),
        Uuid::nil().into(),
    ];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    let mut replies: BTreeMap<Uuid, i32> = BTreeMap::new();
    for parent in comments.iter().filter_map(|comment| comment.parent_id) {
        *replies.entry(parent).or_default() += 1;
    }
    if replies.is_empty() { Ok(()) } else { count_replies(tx, &replies).await }
}

async fn count_replies(tx: &Tx, by: &BTreeMap<Uuid, i32>) -> Result<()> {
    let sql = "with held as materialized (
            select id from comments where id = any($1) order by id for no key update)
        update comments set reply_count = reply_count + asked.by
        from held join unnest($1::uuid[], $2::integer[]) as asked (id, by) using (id)
        where comments.id = held.id";
    let (parents, by): (Vec<Uuid>, Vec<i32>) = by.iter().map(|(parent, by)| (*parent, *by)).unzip();
    tx.connection().execute_raw(sql_with(sql, [parents.into(), by.into()])).await.map_err(failure)?;
    Ok(())
}

/// Comments, as the transaction sees them.
pub async fn find(tx: &Tx, ids: &[CommentId]) -> Result<HashMap<CommentId, Model>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = Entity::find().filter(Column::Id.eq_any(ids)).all(tx.connection()).await.map_err(failure)?;
    Ok(rows.into_iter().map(|row| (row.id(), row)).collect())
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Newest,
    Oldest,
}

/// A post's comments, without the replies, from behind `after`.
pub async fn of_post(
    connection: &Connection,
    post: PostId,
    order: Order,
    after: Option<CommentId>,
    limit: u64,
) -> Result<Vec<Model>> {
    let query = Entity::find().filter(Column::PostId.eq(post.uuid())).filter(Column::ParentId.is_null());
    page(connection, query, order, after, limit).await
}

/// The replies to a comment, oldest first, from behind `after`.
pub async fn replies(
    connection: &Connection,
    parent: CommentId,
    after: Option<CommentId>,
    limit: u64,
) -> Result<Vec<Model>> {
    let query = Entity::find().filter(Column::ParentId.eq(parent.uuid()));
    page(connection, query, Order::Oldest, after, limit).await
}

async fn page(
    connection: &Connection,
    mut query: Select<Entity>,
    order: Order,
    after: Option<CommentId>,
    limit: u64,
) -> Result<Vec<Model>> {
    if let Some(after) = after {
        query = query.filter(match order {
            Order::Newest => Column::Id.lt(after.uuid()),
            Order::Oldest => Column::Id.gt(after.uuid()),
        });
    }
    let direction = if order == Order::Newest { sea_orm::Order::Desc } else { sea_orm::Order::Asc };
    query.order_by(Column::Id, direction).limit(limit).all(connection).await.map_err(failure)
}
