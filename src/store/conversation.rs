//! Conversations and who takes part in them.

use std::collections::HashMap;
use std::sync::LazyLock;

use sea_orm::entity::prelude::*;
use sea_orm::sea_query::LockType;
use sea_orm::{FromQueryResult, QueryOrder, QuerySelect};
use time::OffsetDateTime;

use super::coalesce::Batch;
use super::columns::columns;
use super::shard::failure;
use super::statement::column;
use super::{Connection, Tx, member, sql_with};
use crate::model::conversation::ConversationKind;
use crate::model::id::{ConversationId, PostId, Slot, UserId};
use crate::model::{Error, Result};

/// A conversation's row. `kind` is a number of [`ConversationKind`].
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "conversations")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub kind: i16,
    pub post_id: Option<Uuid>,
    pub low_id: Option<Uuid>,
    pub high_id: Option<Uuid>,
    pub title: Option<String>,
    pub seq: i32,
    pub change: i64,
    pub created_at: OffsetDateTime,
    pub ended_at: Option<OffsetDateTime>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The columns of a row, as statements name them.
static COLUMNS: LazyLock<String> = LazyLock::new(columns::<Entity>);

impl Model {
    pub fn id(&self) -> ConversationId {
        ConversationId::from_row(self.id)
    }

    /// The post whose thread it is.
    pub fn post(&self) -> Option<PostId> {
        self.post_id.map(PostId::from_row)
    }

    pub fn kind(&self) -> ConversationKind {
        ConversationKind::from_row(self.kind)
    }

    /// In a direct conversation: the other member.
    pub fn other(&self, member: UserId) -> Option<UserId> {
        let (low, high) = (UserId::from_row(self.low_id?), UserId::from_row(self.high_id?));
        Some(if low == member { high } else { low })
    }

    /// The thread of a post without messages.
    pub fn unwritten_thread(post: PostId, created_at: OffsetDateTime) -> Self {
        Self {
            id: ConversationId::of_post(post).uuid(),
            kind: ConversationKind::Post as i16,
            post_id: Some(post.uuid()),
            low_id: None,
            high_id: None,
            title: None,
            seq: 0,
            change: 0,
            created_at,
            ended_at: None,
        }
    }
}

/// Conversations by id.
pub struct ById;

impl Batch for ById {
    type Key = ConversationId;
    type Row = Model;

    fn slot(key: &ConversationId) -> Slot {
        key.slot()
    }

    async fn fetch(
        connection: &Connection,
        keys: Vec<ConversationId>,
    ) -> Result<Vec<(ConversationId, Model)>> {
        let ids: Vec<Uuid> = keys.into_iter().map(ConversationId::uuid).collect();
        let rows = Entity::find().filter(Column::Id.eq_any(ids)).all(connection).await.map_err(failure)?;
        Ok(rows.into_iter().map(|row| (row.id(), row)).collect())
    }
}

/// Where a conversation stands.
#[derive(Debug, Clone, FromQueryResult)]
pub struct Standing {
    #[sea_orm(nested)]
    pub conversation: Model,
    /// The number of the last message; 0 where nobody has written.
    pub last_seq: i32,
    pub last_message_at: Option<OffsetDateTime>,
}

/// Where conversations stand, by id.
pub struct StandingById;

impl Batch for StandingById {
    type Key = ConversationId;
    type Row = Standing;

    fn slot(key: &ConversationId) -> Slot {
        key.slot()
    }

    async fn fetch(
        connection: &Connection,
        keys: Vec<ConversationId>,
    ) -> Result<Vec<(ConversationId, Standing)>> {
        let columns = &*COLUMNS;
        let sql = format!(
            "select {columns}, coalesce(last.seq, 0) as last_seq, last.created_at as last_message_at
            from conversations left join lateral (
                select m.seq, m.created_at from messages m where m.conversation_id = conversations.id
                order by m.seq desc limit 1
            ) last on true where conversations.id = any($1)"
        );
        let rows = Standing::find_by_statement(sql_with(&sql, [column(&keys, |key| key.uuid())]))
            .all(connection)
            .await
            .map_err(failure)?;
        Ok(rows.into_iter().map(|row| (row.conversation.id(), row)).collect())
    }
}

#[derive(FromQueryResult)]
struct Id {
    id: Uuid,
}

/// The direct conversation of two people, if they have one.
pub async fn of_pair(connection: &Connection, low: UserId, high: UserId) -> Result<Option<ConversationId>> {
    let sql = "select id from conversations where low_id = $1 and high_id = $2";
    let row = Id::find_by_statement(sql_with(sql, [low.uuid().into(), high.uuid().into()]))
        .one(connection)
        .await
        .map_err(failure)?;
    Ok(row.map(|row| ConversationId::from_row(row.id)))
}

/// The direct conversation of two users; created if missing. When two requests race, one creates it and the
/// other waits here and finds it.
pub async fn direct(tx: &Tx, slot: Slot, low: UserId, high: UserId) -> Result<ConversationId> {
    if let Some(id) = of_pair(tx.connection(), low, high).await? {
        return Ok(id);
    }
    let id = ConversationId::make(tx.clock(), slot);
    let now = tx.clock().now();
    let sql = "with started as (
            insert into conversations (id, kind, low_id, high_id, created_at) values ($1, $2, $3, $4, $5)
            on conflict (low_id, high_id) do nothing returning id)
        select id from started";
    let values = [
        id.uuid().into(),
        (ConversationKind::Direct as i16).into(),
        low.uuid().into(),
        high.uuid().into(),
        now.into(),
    ];
    let started = Id::find_by_statement(sql_with(sql, values)).one(tx.connection()).await.map_err(failure)?;
    if started.is_none() {
        return of_pair(tx.connection(), low, high)
            .await?
            .ok_or_else(|| Error::internal(anyhow::anyhow!("a pair's conversation went away")));
    }
    for user in [low, high] {
        member::join(tx, id, user).await?;
    }
    Ok(id)
}

/// Starts a group, of which nobody is a member yet.
pub async fn start_group(tx: &Tx, id: ConversationId, title: Option<&str>) -> Result<()> {
    let sql = "insert into conversations (id, kind, title, created_at) values ($1, $2, $3, $4)";
    let kind = ConversationKind::Group as i16;
    let values = [id.uuid().into(), kind.into(), title.into(), tx.clock().now().into()];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}

/// Marks a group as ended: it has no members left.
pub async fn end(tx: &Tx, id: ConversationId) -> Result<()> {
    let sql = "update conversations set ended_at = $2 where id = $1";
    let values = [id.uuid().into(), tx.clock().now().into()];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}

/// Groups that have ended, the longest ago first.
pub async fn ended(connection: &Connection, limit: i64) -> Result<Vec<ConversationId>> {
    let sql = "select id from conversations where ended_at is not null order by ended_at limit $1";
    let rows = Id::find_by_statement(sql_with(sql, [limit.into()])).all(connection).await.map_err(failure)?;
    Ok(rows.into_iter().map(|row| ConversationId::from_row(row.id)).collect())
}

/// Deletes a group that has ended, and has no messages any more.
pub async fn delete_ended(connection: &Connection, id: ConversationId) -> Result<()> {
    let sql = "delete from conversations where id = $1 and ended_at is not null";
    connection.execute_raw(sql_with(sql, [id.uuid().into()])).await.map_err(failure)?;
    Ok(())
}

/// The thread of a post, started where there is none; there is none of a post that is gone.
pub async fn thread(tx: &Tx, post: PostId) -> Result<ConversationId> {
    let id = ConversationId::of_post(post);
    // The post is held, so that whoever deletes it meanwhile takes the thread with it.
    let sql = "insert into conversations (id, kind, post_id, created_at)
        select $1, $2, id, $4 from posts where id = $3 and deleted_at is null
            and not exists (select from conversations where id = $1)
        for share
        on conflict (id) do nothing";
    let kind = ConversationKind::Post as i16;
    let values = [id.uuid().into(), kind.into(), post.uuid().into(), tx.clock().now().into()];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(id)
}

/// The direct conversations of these pairs (lower id first), where they exist.
pub async fn of_pairs(
    tx: &Tx,
    pairs: &[(UserId, UserId)],
) -> Result<HashMap<(UserId, UserId), ConversationId>> {
    if pairs.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "select id, low_id, high_id from unnest($1::uuid[], $2::uuid[]) as asked (low_id, high_id)
        join conversations using (low_id, high_id)";
    let low: Vec<Uuid> = pairs.iter().map(|(low, _)| low.uuid()).collect();
    let high: Vec<Uuid> = pairs.iter().map(|(_, high)| high.uuid()).collect();
    let rows = Pair::find_by_statement(sql_with(sql, [low.into(), high.into()]))
        .all(tx.connection())
        .await
        .map_err(failure)?;
    let pair = |row: &Pair| (UserId::from_row(row.low_id), UserId::from_row(row.high_id));
    Ok(rows.into_iter().map(|row| (pair(&row), ConversationId::from_row(row.id))).collect())
}

#[derive(FromQueryResult)]
struct Pair {
    id: Uuid,
    low_id: Uuid,
    high_id: Uuid,
}

/// Locks conversations until the transaction ends, so that their messages are numbered in commit order and
/// without gaps. Locks in the order of ids, to avoid deadlocks.
pub async fn lock_all(tx: &Tx, ids: &[ConversationId]) -> Result<HashMap<ConversationId, Model>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = Entity::find()
        .filter(Column::Id.eq_any(ids))
        .order_by_asc(Column::Id)
        .lock(LockType::NoKeyUpdate)
        .all(tx.connection())
        .await
        .map_err(failure)?;
    Ok(rows.into_iter().map(|row| (row.id(), row)).collect())
}

/// Writes the counters of locked conversations.
pub async fn write_counters(tx: &Tx, conversations: &[&Model]) -> Result<()> {
    let sql = "update conversations set seq = asked.seq, change = asked.change
        from unnest($1::uuid[], $2::integer[], $3::bigint[]) as asked (id, seq, change)
        where conversations.id = asked.id";
    let values = [
        column(conversations, |row| row.id),
        column(conversations, |row| row.seq),
        column(conversations, |row| row.change),
    ];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}

/// Increments the change counter for a change that is not a new message. Locks the conversation until the
/// transaction ends.
pub async fn count_change(tx: &Tx, id: ConversationId) -> Result<Option<Model>> {
    let columns = &*COLUMNS;
    let sql = format!("update conversations set change = change + 1 where id = $1 returning {columns}");
    Model::find_by_statement(sql_with(&sql, [id.uuid().into()])).one(tx.connection()).await.map_err(failure)
}

/// Locks the conversation until the transaction ends.
pub async fn lock(tx: &Tx, id: ConversationId) -> Result<Option<Model>> {
    let columns = &*COLUMNS;
    let sql = format!("select {columns} from conversations where id = $1 for no key update");
    Model::find_by_statement(sql_with(&sql, [id.uuid().into()])).one(tx.connection()).await.map_err(failure)
}
