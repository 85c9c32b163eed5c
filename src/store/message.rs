//! Messages. `seq` is a message's number in its conversation; `change` is the conversation's change counter
//! when the row was last written, by which streams are read.

use std::collections::HashMap;
use std::sync::LazyLock;

use sea_orm::FromQueryResult;
use sea_orm::entity::prelude::*;
use time::OffsetDateTime;

use super::coalesce::Batch;
use super::columns::columns;
use super::shard::failure;
use super::statement::{column, id_array_literal};
use super::{Connection, Tx, sql_with};
use crate::model::Result;
use crate::model::conversation::ConversationKind;
use crate::model::id::{ConversationId, MediaId, MessageId, PostId, Slot, UserId};
use crate::model::page::Page;

/// A message's row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "messages")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub conversation_id: Uuid,
    pub seq: i32,
    pub sent_change: i64,
    pub change: i64,
    pub sender_id: Uuid,
    pub idempotency_key: Option<String>,
    pub text: Option<String>,
    pub media_ids: Vec<Uuid>,
    pub shared_post_id: Option<Uuid>,
    pub reply_to_id: Option<Uuid>,
    pub created_at: OffsetDateTime,
    pub edited_at: Option<OffsetDateTime>,
    pub deleted_at: Option<OffsetDateTime>,
    pub edited_change: i64,
    pub changed_at: Option<OffsetDateTime>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// The columns of a row, as statements name them.
pub(super) static COLUMNS: LazyLock<String> = LazyLock::new(columns::<Entity>);

impl Model {
    pub fn id(&self) -> MessageId {
        MessageId::from_row(self.id)
    }

    pub fn conversation(&self) -> ConversationId {
        ConversationId::from_row(self.conversation_id)
    }

    pub fn sender(&self) -> UserId {
        UserId::from_row(self.sender_id)
    }

    pub fn media(&self) -> impl Iterator<Item = MediaId> {
        self.media_ids.iter().copied().map(MediaId::from_row)
    }

    pub fn shared_post(&self) -> Option<PostId> {
        self.shared_post_id.map(PostId::from_row)
    }

    pub fn reply_to(&self) -> Option<MessageId> {
        self.reply_to_id.map(MessageId::from_row)
    }
}

/// Messages by id.
pub struct ById;

impl Batch for ById {
    type Key = MessageId;
    type Row = Model;

    fn slot(key: &MessageId) -> Slot {
        key.slot()
    }

    async fn fetch(connection: &Connection, keys: Vec<MessageId>) -> Result<Vec<(MessageId, Model)>> {
        let ids: Vec<Uuid> = keys.into_iter().map(MessageId::uuid).collect();
        let rows = Entity::find().filter(Column::Id.eq_any(ids)).all(connection).await.map_err(failure)?;
        Ok(rows.into_iter().map(|row| (row.id(), row)).collect())
    }
}

/// Asks for the last message of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LastMessage(pub ConversationId);

impl Batch for LastMessage {
    type Key = Self;
    type Row = Model;

    fn slot(key: &Self) -> Slot {
        key.0.slot()
    }

    async fn fetch(connection: &Connection, keys: Vec<Self>) -> Result<Vec<(Self, Model)>> {
        let columns = &*COLUMNS;
        let sql = format!(
            "select {columns} from unnest($1::uuid[]) as asked(id) cross join lateral (
            select {columns} from messages where conversation_id = asked.id order by seq desc limit 1) messages"
        );
        let ids: Vec<Uuid> = keys.iter().map(|key| key.0.uuid()).collect();
        let rows = Entity::find()
            .from_raw_sql(sql_with(&sql, [ids.into()]))
            .all(connection)
            .await
            .map_err(failure)?;
        Ok(rows.into_iter().map(|row| (Self(row.conversation()), row)).collect())
    }
}

/// The last message of a sender in a conversation that was not deleted; none where all were.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct LastOf {
    pub sender_id: Uuid,
    pub seq: Option<i32>,
    pub created_at: Option<OffsetDateTime>,
}

/// The last messages of these senders in a conversation.
pub async fn last_of_each(
    connection: &Connection,
    id: ConversationId,
    senders: &[UserId],
) -> Result<Vec<LastOf>> {
    if senders.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "select sender_id, last.seq, last.created_at
        from (select distinct sender_id from unnest($2::uuid[]) as asked (sender_id)) senders
        left join lateral (
            select seq, created_at from messages
            where conversation_id = $1 and messages.sender_id = senders.sender_id and deleted_at is null
            order by seq desc limit 1
        ) last on true";
    let senders: Vec<Uuid> = senders.iter().map(|user| user.uuid()).collect();
    let values = [id.uuid().into(), senders.into()];
    LastOf::find_by_statement(sql_with(sql, values)).all(connection).await.map_err(failure)
}

/// Inserts new messages: without edits and marks of deletion. Of each conversation's members who sent them, but in
/// the threads of posts, the membership tells the number of the last one from then on.
pub async fn insert(tx: &Tx, messages: &[Model]) -> Result<()> {
    let sql = "with sent as (
            insert into messages (id, conversation_id, seq, sent_change, change, sender_id, idempotency_key, text,
                media_ids, shared_post_id, reply_to_id, created_at, edited_change)
            select id, conversation_id, seq, change, change, sender_id, idempotency_key, nullif(text, ''),
                media_ids::uuid[], nullif(shared_post_id, $11), nullif(reply_to_id, $11), created_at, 0
            from unnest($1::uuid[], $2::uuid[], $3::integer[], $4::bigint[], $5::uuid[], $6::text[], $7::text[],
                    $8::text[], $9::uuid[], $10::uuid[], $12::timestamptz[])
                as message (id, conversation_id, seq, change, sender_id, idempotency_key, text, media_ids,
                    shared_post_id, reply_to_id, created_at)
            returning conversation_id, sender_id, seq
        ), last as (
            select conversation_id, sender_id, max(seq) as seq from sent group by conversation_id, sender_id
        )
        update members set sent_seq = last.seq
        from last join conversations c on c.id = last.conversation_id and c.kind <> $13
        where members.conversation_id = last.conversation_id and members.user_id = last.sender_id";
    let values = [
        column(messages, |message| message.id),
        column(messages, |message| message.conversation_id),
        column(messages, |message| message.seq),
        column(messages, |message| message.change),
        column(messages, |message| message.sender_id),
        column(messages, |message| message.idempotency_key.clone().unwrap_or_default()),
        column(messages, |message| message.text.clone().unwrap_or_default()),
        column(messages, |message| id_array_literal(&message.media_ids)),
        column(messages, |message| message.shared_post_id.unwrap_or_default()),
        column(messages, |message| message.reply_to_id.unwrap_or_default()),
        Uuid::nil().into(),
        column(messages, |message| message.created_at),
        (ConversationKind::Post as i16).into(),
    ];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}

/// A message, as the transaction sees it.
pub async fn find(tx: &Tx, id: MessageId) -> Result<Option<Model>> {
    Entity::find_by_id(id.uuid()).one(tx.connection()).await.map_err(failure)
}

/// Messages, as the transaction sees them.
pub async fn find_all(tx: &Tx, ids: &[MessageId]) -> Result<HashMap<MessageId, Model>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = Entity::find().filter(Column::Id.eq_any(ids)).all(tx.connection()).await.map_err(failure)?;
    Ok(rows.into_iter().map(|row| (row.id(), row)).collect())
}

/// Changes the text; `change` is the new change counter.
pub async fn edit(tx: &Tx, id: MessageId, text: &str, change: i64) -> Result<()> {
    let sql =
        "update messages set text = $2, edited_at = $3, change = $4, edited_change = $4, changed_at = $3
        where id = $1";
    let values = [id.uuid().into(), text.into(), tx.clock().now().into(), change.into()];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}

/// Clears a deleted message, keeping its number and sender; `change` is the new change counter.
pub async fn mark_deleted(tx: &Tx, id: MessageId, change: i64) -> Result<()> {
    let sql = "with gone as (delete from reactions where message_id = $1)
        update messages set text = null, media_ids = '{}', shared_post_id = null,
            deleted_at = $2, change = $3, changed_at = $2 where id = $1";
    let values = [id.uuid().into(), tx.clock().now().into(), change.into()];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}

/// Marks a message as changed; `change` is the new change counter.
pub async fn touch(tx: &Tx, id: MessageId, change: i64) -> Result<()> {
    let sql = "update messages set change = $2, changed_at = $3 where id = $1";
    let values = [id.uuid().into(), change.into(), tx.clock().now().into()];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}

/// A page of a conversation's messages by number; in reverse order when read from the end.
pub async fn page(connection: &Connection, id: ConversationId, page: &Page) -> Result<Vec<Model>> {
    let columns = &*COLUMNS;
    let order = if page.from_end { "desc" } else { "asc" };
    let sql = format!(
        "select {columns} from messages where conversation_id = $1 and seq > $2 and seq < $3
        order by seq {order} limit $4"
    );
    let after = page.after.map_or(0, |place| place.at);
    let before = page.before.map_or(i64::MAX, |place| place.at);
    let values = [id.uuid().into(), after.into(), before.into(), page.limit().into()];
    Entity::find().from_raw_sql(sql_with(&sql, values)).all(connection).await.map_err(failure)
}

/// The first messages of a conversation.
pub async fn oldest(connection: &Connection, id: ConversationId, limit: i64) -> Result<Vec<Model>> {
    let columns = &*COLUMNS;
    let sql = format!("select {columns} from messages where conversation_id = $1 order by seq limit $2");
    Entity::find()
        .from_raw_sql(sql_with(&sql, [id.uuid().into(), limit.into()]))
        .all(connection)
        .await
        .map_err(failure)
}

/// Deletes messages and their reactions permanently.
pub async fn delete(connection: &Connection, ids: &[MessageId]) -> Result<()> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    Entity::delete_many().filter(Column::Id.eq_any(ids)).exec(connection).await.map_err(failure)?;
    Ok(())
}
