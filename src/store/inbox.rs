//! Each member's list of conversations, on the member's shard. It is updated by events.

use sea_orm::entity::prelude::*;
use sea_orm::{FromQueryResult, QueryResult};
use time::OffsetDateTime;

use super::coalesce::Batch;
use super::shard::failure;
use super::{Connection, Tx, sql_with};
use crate::model::Result;
use crate::model::id::{ConversationId, Slot, UserId};
use crate::model::page::Page;

/// One conversation in one member's list. It may lag behind the conversation.
#[derive(Clone, Debug, PartialEq, Eq, FromQueryResult)]
pub struct Model {
    pub user_id: Uuid,
    pub conversation_id: Uuid,
    pub last_seq: i32,
    pub read_seq: i32,
    pub last_message_at: OffsetDateTime,
    pub is_archived: bool,
    pub is_muted: bool,
}

/// The columns of [`Model`], as statements name them.
const COLUMNS: &str = "user_id, conversation_id, last_seq, read_seq, last_message_at, is_archived, is_muted";

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
        let sql = format!(
            "select {COLUMNS} from unnest($1::uuid[], $2::uuid[]) as asked(user_id, conversation_id)
            join inbox using (user_id, conversation_id) where left_at is null"
        );
        let users: Vec<Uuid> = keys.iter().map(|key| key.user.uuid()).collect();
        let conversations: Vec<Uuid> = keys.iter().map(|key| key.conversation.uuid()).collect();
        let rows = Model::find_by_statement(sql_with(&sql, [users.into(), conversations.into()]))
            .all(connection)
            .await
            .map_err(failure)?;
        let key =
            |row: &Model| Self { user: UserId::from_row(row.user_id), conversation: row.conversation() };
        Ok(rows.into_iter().map(|row| (key(&row), row)).collect())
    }
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Listed {
    pub entries: Vec<Model>,
    /// The number of conversations in the list with unread messages, on this page or not.
    pub unread: i64,
}

struct ListedRow {
    entry: Option<Model>,
    unread: i64,
}

impl FromQueryResult for ListedRow {
    fn from_query_result(row: &QueryResult, prefix: &str) -> std::result::Result<Self, DbErr> {
        Ok(Self {
            entry: Model::from_query_result_optional(row, prefix)?,
            unread: row.try_get(prefix, "unread")?,
        })
    }
}

/// A page of a user's conversations, archived or not, newest message first.
pub async fn page(connection: &Connection, user: UserId, page: &Page, archived: bool) -> Result<Listed> {
    let (from, id) = match page.after {
        Some(place) => (Some(place.time()?), Some(place.id)),
        None => (None, None),
    };
    let sql = format!(
        "select unread.count as unread, {COLUMNS} from (
            select count(*) as count from inbox
            where user_id = $1 and last_seq > read_seq and left_at is null and is_archived = $5
        ) unread left join lateral (
            select {COLUMNS} from inbox where user_id = $1 and left_at is null and is_archived = $5
                and ($2::timestamptz is null or (last_message_at, conversation_id) < ($2, $3))
            order by last_message_at desc, conversation_id desc limit $4
        ) entry on true
        order by last_message_at desc, conversation_id desc"
    );
    let values = [user.uuid().into(), from.into(), id.into(), page.limit().into(), archived.into()];
    let rows = ListedRow::find_by_statement(sql_with(&sql, values)).all(connection).await.map_err(failure)?;
    let unread = rows.first().map_or(0, |row| row.unread);
    Ok(Listed { entries: rows.into_iter().filter_map(|row| row.entry).collect(), unread })
}

#[derive(FromQueryResult)]
struct Read {
    moved: bool,
}

/// Records that a user has read a conversation up to this message; never moves back. Returns whether that was
/// new; `None` if the conversation is not in the user's list.
pub async fn mark_read(
    tx: &Tx,
    user: UserId,
    conversation: ConversationId,
    seq: i32,
) -> Result<Option<bool>> {
    let sql = "with old as (
            select read_seq from inbox where user_id = $1 and conversation_id = $2 and left_at is null for update
        )
        update inbox set read_seq = greatest(inbox.read_seq, $3) from old
        where user_id = $1 and conversation_id = $2 returning old.read_seq < $3 as moved";
    let values = [user.uuid().into(), conversation.uuid().into(), seq.into()];
    let row = Read::find_by_statement(sql_with(sql, values)).one(tx.connection()).await.map_err(failure)?;
    Ok(row.map(|row| row.moved))
}

/// A user's settings for a conversation; `None` leaves one unchanged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    pub archived: Option<bool>,
    pub muted: Option<bool>,
}

/// Sets the given flags. False if the conversation is not in the user's list.
pub async fn set_flags(tx: &Tx, user: UserId, conversation: ConversationId, flags: Flags) -> Result<bool> {
    let sql = "update inbox set is_archived = coalesce($3, is_archived), is_muted = coalesce($4, is_muted)
        where user_id = $1 and conversation_id = $2 and left_at is null";
    let values = [user.uuid().into(), conversation.uuid().into(), flags.archived.into(), flags.muted.into()];
    let done = tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(done.rows_affected() == 1)
}

#[derive(FromQueryResult)]
struct Muted {
    is_muted: bool,
}

/// Whether the user has muted a conversation.
pub async fn is_muted(tx: &Tx, user: UserId, conversation: Uuid) -> Result<bool> {
    let sql = "select is_muted from inbox where user_id = $1 and conversation_id = $2";
    let values = [user.uuid().into(), conversation.into()];
    let row = Muted::find_by_statement(sql_with(sql, values)).one(tx.connection()).await.map_err(failure)?;
    Ok(row.is_some_and(|row| row.is_muted))
}

/// Up to which change of a conversation a user's list is current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Known {
    pub user_id: Uuid,
    /// The change counter as of which the membership is known.
    pub change: i64,
    /// Up to which change the user's log is complete; unknown for old entries.
    pub logged_change: Option<i64>,
    /// Whether the user takes part.
    pub is_in: bool,
}

/// For these users, all on one shard: how current their lists are for a conversation.
pub async fn known(tx: &Tx, conversation: ConversationId, users: &[UserId]) -> Result<Vec<Known>> {
    let sql = "select user_id, change, logged_change, left_at is null as is_in from inbox
        where conversation_id = $1 and user_id = any($2)";
    let users: Vec<Uuid> = users.iter().map(|user| user.uuid()).collect();
    Known::find_by_statement(sql_with(sql, [conversation.uuid().into(), users.into()]))
        .all(tx.connection())
        .await
        .map_err(failure)
}

/// The minimum that a conversation's entry in a member's list must say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update {
    pub user: UserId,
    pub last_seq: i32,
    pub last_message_at: OffsetDateTime,
    /// Up to which message the user has read, unless the entry knows better.
    pub read_seq: i32,
    /// The change counter as of which the user was a member.
    pub change: i64,
    pub logged_change: i64,
}

/// Updates members' entries for a conversation; never moves back. All members are on one shard, and their
/// logs are locked.
pub async fn bring(tx: &Tx, conversation: ConversationId, updates: &[Update]) -> Result<()> {
    let sql = "insert into inbox
            (user_id, conversation_id, last_seq, last_message_at, read_seq, change, logged_change)
        select user_id, $1, last_seq, last_message_at, read_seq, change, logged_change
        from unnest($2::uuid[], $3::integer[], $4::timestamptz[], $5::integer[], $6::bigint[], $7::bigint[])
            as u (user_id, last_seq, last_message_at, read_seq, change, logged_change)
        order by user_id
        on conflict (user_id, conversation_id) do update set
            last_seq = greatest(inbox.last_seq, excluded.last_seq),
            last_message_at = greatest(inbox.last_message_at, excluded.last_message_at),
            read_seq = greatest(inbox.read_seq, excluded.read_seq),
            change = greatest(inbox.change, excluded.change),
            logged_change = greatest(inbox.logged_change, excluded.logged_change),
            -- Who comes back finds it as new.
            is_archived = inbox.is_archived and inbox.left_at is null,
            is_muted = inbox.is_muted and inbox.left_at is null,
            left_at = null";
    let of = |read: fn(&Update) -> i32| updates.iter().map(read).collect::<Vec<i32>>();
    let users: Vec<Uuid> = updates.iter().map(|update| update.user.uuid()).collect();
    let times: Vec<OffsetDateTime> = updates.iter().map(|update| update.last_message_at).collect();
    let changes: Vec<i64> = updates.iter().map(|update| update.change).collect();
    let logged: Vec<i64> = updates.iter().map(|update| update.logged_change).collect();
    let values = [
        conversation.uuid().into(),
        users.into(),
        of(|update| update.last_seq).into(),
        times.into(),
        of(|update| update.read_seq).into(),
        changes.into(),
        logged.into(),
    ];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}

/// Removes a conversation from the lists of these users, all on one shard, who were no members at `change`.
/// Users who are known to have joined later keep it.
pub async fn leave(tx: &Tx, conversation: ConversationId, users: &[UserId], change: i64) -> Result<()> {
    // Also for users without an entry, so that a late event can't add them again.
    let sql = "insert into inbox
            (user_id, conversation_id, last_seq, read_seq, last_message_at, left_at, change)
        select user_id, $1, 0, 0, $3, $3, $4 from unnest($2::uuid[]) as gone (user_id) order by user_id
        on conflict (user_id, conversation_id) do update set
            left_at = coalesce(inbox.left_at, excluded.left_at), change = excluded.change
        where inbox.change <= excluded.change";
    let users: Vec<Uuid> = users.iter().map(|user| user.uuid()).collect();
    let values = [conversation.uuid().into(), users.into(), tx.clock().now().into(), change.into()];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}

/// Deletes tombstones of conversations left more than 30 days ago; no event is delivered that late.
pub async fn purge_left(connection: &impl ConnectionTrait, limit: i64) -> Result<u64> {
    let sql = "delete from inbox where ctid = any(array(
        select ctid from inbox where left_at < now() - interval '30 days' limit $1))";
    let done = connection.execute_raw(sql_with(sql, [limit.into()])).await.map_err(failure)?;
    Ok(done.rows_affected())
}
