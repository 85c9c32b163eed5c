//! Comments and replies; in their post's slot.

use std::sync::LazyLock;

use sea_orm::entity::prelude::*;
use sea_orm::{FromQueryResult, IntoActiveModel, QueryOrder, QuerySelect};
use time::OffsetDateTime;

use super::coalesce::Batch;
use super::columns::columns;
use super::shard::failure;
use super::{Connection, Tx, sql_with};
use crate::model::Result;
use crate::model::id::{CommentId, PostId, Slot, UserId};

/// A comment's row; a reply has the comment that it answers as parent. `n` is its number in its post, by
/// which the post's stream is read.
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
    n: i64,
}

/// Inserts a comment and counts it: in its post, and in the comment that it answers. The answer is its
/// number; the post's row is held until the transaction ends, so that the numbers are given in the order of
/// the commits and have no holes. `None` if the post is gone, and then nothing is inserted.
pub async fn insert(tx: &Tx, comment: Model) -> Result<Option<i64>> {
    let (post, parent) = (comment.post_id, comment.parent_id);
    let connection = tx.connection();
    let sql = "update posts set comment_count = comment_count + 1, comment_seq = comment_seq + 1
        where id = $1 and deleted_at is null returning comment_seq as n";
    let counted = Number::find_by_statement(sql_with(sql, [post.into()])).one(connection).await;
    let Some(Number { n }) = counted.map_err(failure)? else { return Ok(None) };
    let comment = Model { n: Some(n), ..comment };
    Entity::insert(comment.into_active_model()).exec_without_returning(connection).await.map_err(failure)?;
    if let Some(parent) = parent {
        let sql = "update comments set reply_count = reply_count + 1 where id = $1";
        connection.execute_raw(sql_with(sql, [parent.into()])).await.map_err(failure)?;
    }
    Ok(Some(n))
}

pub async fn find(tx: &Tx, id: CommentId) -> Result<Option<Model>> {
    Entity::find_by_id(id.uuid()).one(tx.connection()).await.map_err(failure)
}

/// In which order a list stands.
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
