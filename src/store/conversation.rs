//! Conversations and who takes part in them.

use sea_orm::FromQueryResult;
use sea_orm::entity::prelude::*;
use time::OffsetDateTime;

use super::coalesce::Batch;
use super::shard::failure;
use super::{Connection, Tx, sql_with};
use crate::domain::conversation::ConversationKind;
use crate::domain::id::{ConversationId, PostId, Slot, UserId};
use crate::domain::page::Page;
use crate::domain::{Error, Result};

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
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

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

    /// The thread of a post to which nobody has written yet.
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

/// Somebody who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Member {
    pub conversation_id: Uuid,
    pub user_id: Uuid,
    pub joined_at: OffsetDateTime,
}

impl Member {
    pub fn user(&self) -> UserId {
        UserId::from_row(self.user_id)
    }
}

/// Asks whether a user takes part in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Membership {
    pub conversation: ConversationId,
    pub user: UserId,
}

impl Batch for Membership {
    type Key = Self;
    type Row = Member;

    fn slot(key: &Self) -> Slot {
        key.conversation.slot()
    }

    async fn fetch(connection: &Connection, keys: Vec<Self>) -> Result<Vec<(Self, Member)>> {
        let sql = "select m.* from unnest($1::uuid[], $2::uuid[]) as asked(conversation_id, user_id)
            join members m using (conversation_id, user_id)";
        let conversations: Vec<Uuid> = keys.iter().map(|key| key.conversation.uuid()).collect();
        let users: Vec<Uuid> = keys.iter().map(|key| key.user.uuid()).collect();
        let rows = Member::find_by_statement(sql_with(sql, [conversations.into(), users.into()]))
            .all(connection)
            .await
            .map_err(failure)?;
        let key = |row: &Member| Self {
            conversation: ConversationId::from_row(row.conversation_id),
            user: row.user(),
        };
        Ok(rows.into_iter().map(|row| (key(&row), row)).collect())
    }
}

/// Asks for the first members of a conversation: one more than the largest page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FirstMembers(pub ConversationId);

impl Batch for FirstMembers {
    type Key = Self;
    type Row = Vec<Member>;

    fn slot(key: &Self) -> Slot {
        key.0.slot()
    }

    async fn fetch(connection: &Connection, keys: Vec<Self>) -> Result<Vec<(Self, Vec<Member>)>> {
        let sql = "select m.* from unnest($1::uuid[]) as asked(id) cross join lateral (
            select * from members where conversation_id = asked.id order by joined_at, user_id limit 101) m
            order by m.conversation_id, m.joined_at, m.user_id";
        let ids: Vec<Uuid> = keys.iter().map(|key| key.0.uuid()).collect();
        let rows =
            Member::find_by_statement(sql_with(sql, [ids.into()])).all(connection).await.map_err(failure)?;
        let by_conversation = rows.chunk_by(|one, next| one.conversation_id == next.conversation_id);
        Ok(by_conversation
            .map(|members| (Self(ConversationId::from_row(members[0].conversation_id)), members.to_vec()))
            .collect())
    }
}

/// A page of the members, in the order in which they joined.
pub async fn members(connection: &Connection, id: ConversationId, page: &Page) -> Result<Vec<Member>> {
    let (from, user) = match page.after {
        Some(place) => (Some(place.time()?), Some(place.id)),
        None => (None, None),
    };
    let sql = "select * from members where conversation_id = $1
        and ($2::timestamptz is null or (joined_at, user_id) > ($2, $3))
        order by joined_at, user_id limit $4";
    let values = [id.uuid().into(), from.into(), user.into(), page.limit().into()];
    Member::find_by_statement(sql_with(sql, values)).all(connection).await.map_err(failure)
}

#[derive(FromQueryResult)]
struct Id {
    id: Uuid,
}

async fn id_of_pair(tx: &Tx, low: UserId, high: UserId) -> Result<Option<ConversationId>> {
    let sql = "select id from conversations where low_id = $1 and high_id = $2";
    let row = Id::find_by_statement(sql_with(sql, [low.uuid().into(), high.uuid().into()]))
        .one(tx.connection())
        .await
        .map_err(failure)?;
    Ok(row.map(|row| ConversationId::from_row(row.id)))
}

/// The direct conversation of two people, started where there is none. Of two that race, one starts it
/// and the other waits here and finds it.
pub async fn direct(tx: &Tx, low: UserId, high: UserId) -> Result<ConversationId> {
    if let Some(id) = id_of_pair(tx, low, high).await? {
        return Ok(id);
    }
    let id = ConversationId::make(tx.clock(), tx.slot());
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
        return id_of_pair(tx, low, high)
            .await?
            .ok_or_else(|| Error::internal(anyhow::anyhow!("a pair's conversation went away")));
    }
    for user in [low, high] {
        join(tx, id, user).await?;
    }
    Ok(id)
}

/// The thread of a post, started where there is none.
pub async fn thread(tx: &Tx, post: PostId) -> Result<ConversationId> {
    let id = ConversationId::of_post(post);
    let sql = "insert into conversations (id, kind, post_id, created_at) values ($1, $2, $3, $4)
        on conflict (id) do nothing";
    let kind = ConversationKind::Post as i16;
    let values = [id.uuid().into(), kind.into(), post.uuid().into(), tx.clock().now().into()];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(id)
}

/// Makes somebody a member; twice is once. False: they were.
pub async fn join(tx: &Tx, id: ConversationId, user: UserId) -> Result<bool> {
    let sql = "insert into members (conversation_id, user_id, joined_at) values ($1, $2, $3)
        on conflict do nothing";
    let values = [id.uuid().into(), user.uuid().into(), tx.clock().now().into()];
    let joined = tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(joined.rows_affected() == 1)
}

/// Counts a new message, and holds the conversation until the transaction ends, so that the numbers are
/// given in the order of the commits and have no holes. The answer has the new numbers.
pub async fn count_message(tx: &Tx, id: ConversationId) -> Result<Option<Model>> {
    let sql = "update conversations set seq = seq + 1, change = change + 1 where id = $1 returning *";
    Model::find_by_statement(sql_with(sql, [id.uuid().into()])).one(tx.connection()).await.map_err(failure)
}

/// Counts a change that is no new message, and holds the conversation until the transaction ends.
pub async fn count_change(tx: &Tx, id: ConversationId) -> Result<Option<Model>> {
    let sql = "update conversations set change = change + 1 where id = $1 returning *";
    Model::find_by_statement(sql_with(sql, [id.uuid().into()])).one(tx.connection()).await.map_err(failure)
}

/// Holds the conversation until the transaction ends.
pub async fn lock(tx: &Tx, id: ConversationId) -> Result<Option<Model>> {
    let sql = "select * from conversations where id = $1 for update";
    Model::find_by_statement(sql_with(sql, [id.uuid().into()])).one(tx.connection()).await.map_err(failure)
}

/// The members who joined last, at most `limit`.
pub async fn newest_members(tx: &Tx, id: ConversationId, limit: i64) -> Result<Vec<UserId>> {
    let sql = "select * from members where conversation_id = $1
        order by joined_at desc, user_id desc limit $2";
    let rows = Member::find_by_statement(sql_with(sql, [id.uuid().into(), limit.into()]))
        .all(tx.connection())
        .await
        .map_err(failure)?;
    Ok(rows.iter().map(Member::user).collect())
}
