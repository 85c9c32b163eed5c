//! Each member's list of conversations, on the member's shard.

use sea_orm::FromQueryResult;
use sea_orm::entity::prelude::*;
use time::OffsetDateTime;

use super::coalesce::Batch;
use super::shard::failure;
use super::{Connection, Tx, sql_with};
use crate::domain::Result;
use crate::domain::event::Sent;
use crate::domain::id::{ConversationId, Slot, UserId};
use crate::domain::page::Page;

/// One conversation in one member's list. It follows the conversation by events, so it may lag behind.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Model {
    pub user_id: Uuid,
    pub conversation_id: Uuid,
    pub last_seq: i32,
    pub read_seq: i32,
    pub last_message_at: OffsetDateTime,
}

impl Model {
    pub fn conversation(&self) -> ConversationId {
        ConversationId::from_row(self.conversation_id)
    }

    pub fn unread(&self) -> i32 {
        (self.last_seq - self.read_seq).max(0)
    }
}

/// Asks for a user's entry for a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    pub user: UserId,
    pub conversation: ConversationId,
}

impl Batch for Entry {
    type Key = Self;
    type Row = Model;

    fn slot(key: &Self) -> Slot {
        key.user.slot()
    }

    async fn fetch(connection: &Connection, keys: Vec<Self>) -> Result<Vec<(Self, Model)>> {
        let sql = "select i.* from unnest($1::uuid[], $2::uuid[]) as asked(user_id, conversation_id)
            join inbox i using (user_id, conversation_id)";
        let users: Vec<Uuid> = keys.iter().map(|key| key.user.uuid()).collect();
        let conversations: Vec<Uuid> = keys.iter().map(|key| key.conversation.uuid()).collect();
        let rows = Model::find_by_statement(sql_with(sql, [users.into(), conversations.into()]))
            .all(connection)
            .await
            .map_err(failure)?;
        let key =
            |row: &Model| Self { user: UserId::from_row(row.user_id), conversation: row.conversation() };
        Ok(rows.into_iter().map(|row| (key(&row), row)).collect())
    }
}

/// A page of a user's conversations, the one with the newest message first.
pub async fn page(connection: &Connection, user: UserId, page: &Page) -> Result<Vec<Model>> {
    let (from, id) = match page.after {
        Some(place) => (Some(place.time()?), Some(place.id)),
        None => (None, None),
    };
    let sql = "select * from inbox where user_id = $1
        and ($2::timestamptz is null or (last_message_at, conversation_id) < ($2, $3))
        order by last_message_at desc, conversation_id desc limit $4";
    let values = [user.uuid().into(), from.into(), id.into(), page.limit().into()];
    Model::find_by_statement(sql_with(sql, values)).all(connection).await.map_err(failure)
}

#[derive(FromQueryResult)]
struct Count {
    count: i64,
}

/// In how many conversations there is something unread.
pub async fn unread_conversations(connection: &Connection, user: UserId) -> Result<i64> {
    let sql = "select count(*) as count from inbox where user_id = $1 and last_seq > read_seq";
    let row = Count::find_by_statement(sql_with(sql, [user.uuid().into()]))
        .one(connection)
        .await
        .map_err(failure)?;
    Ok(row.map_or(0, |row| row.count))
}

/// Says that a user has read a conversation up to this number; never back. False: it is not in the user's list.
pub async fn mark_read(tx: &Tx, user: UserId, conversation: ConversationId, seq: i32) -> Result<bool> {
    let sql = "update inbox set read_seq = greatest(read_seq, least($3, last_seq))
        where user_id = $1 and conversation_id = $2";
    let values = [user.uuid().into(), conversation.uuid().into(), seq.into()];
    let done = tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(done.rows_affected() == 1)
}

/// Tells these members, all of one shard, of a message. Only a greater number has an effect, so that
/// order and repeats don't matter; whoever sends has read.
pub async fn deliver(
    connection: &Connection,
    conversation: ConversationId,
    sent: &Sent,
    members: &[UserId],
) -> Result<()> {
    let sql = "insert into inbox (user_id, conversation_id, last_seq, read_seq, last_message_at)
        select member, $2, $3, case when member = $4 then $3 else 0 end, $5
        from unnest($1::uuid[]) as member order by member
        on conflict (user_id, conversation_id) do update set
            last_seq = greatest(inbox.last_seq, excluded.last_seq),
            read_seq = greatest(inbox.read_seq, excluded.read_seq),
            last_message_at = case when excluded.last_seq > inbox.last_seq
                then excluded.last_message_at else inbox.last_message_at end";
    let members: Vec<Uuid> = members.iter().map(|member| member.uuid()).collect();
    let values = [
        members.into(),
        conversation.uuid().into(),
        sent.seq.into(),
        sent.sender.uuid().into(),
        crate::domain::clock::from_millis(sent.at).into(),
    ];
    connection.execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}
