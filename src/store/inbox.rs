//! Each member's list of conversations, on the member's shard. It is updated by events.

use std::collections::HashMap;

use sea_orm::entity::prelude::*;
use sea_orm::{FromQueryResult, QueryResult};
use time::OffsetDateTime;

use super::coalesce::Batch;
use super::member::Member;
use super::shard::failure;
use super::statement::{array_literal, column};
use super::{Connection, Tx, message, sql_with};
use crate::model::id::{ConversationId, Slot, UserId};
use crate::model::page::Page;
use crate::model::{Error, Result};

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
    /// The numbers of unread messages that were deleted.
    pub deleted: Vec<i32>,
}

/// The columns that [`Model`] takes as they are.
const COLUMNS: &str = "user_id, conversation_id, last_seq, read_seq, last_message_at, is_archived, is_muted";

/// The ranges of numbers of unread messages that were deleted.
const DELETED: &str = "unnest(deleted_seqs *
    int4multirange(int4range(read_seq, greatest(read_seq, last_seq), '(]'))) as deleted (seqs)";

/// All columns of [`Model`].
fn columns() -> String {
    format!(
        "{COLUMNS}, array(select generate_series(lower(seqs), upper(seqs) - 1) from {DELETED}) as deleted"
    )
}

/// The condition of entries that have something unread.
pub(super) fn is_unread() -> String {
    format!(
        "last_seq > read_seq
            and last_seq - read_seq > (select coalesce(sum(upper(seqs) - lower(seqs)), 0) from {DELETED})"
    )
}

/// Of how many unread conversations of a list it is looked at whether they may be seen.
const UNREAD_IDS: i32 = 200;

impl Model {
    pub fn conversation(&self) -> ConversationId {
        ConversationId::from_row(self.conversation_id)
    }

    /// How many messages the member has not read.
    pub fn unread(&self) -> i32 {
        let unread = self.read_seq..self.last_seq;
        let deleted = self.deleted.iter().filter(|seq| unread.contains(&(**seq - 1))).count();
        (self.last_seq - self.read_seq - i32::try_from(deleted).unwrap_or(i32::MAX)).max(0)
    }

    /// The entry brought to its conversation's last message and to the member's row, which it may lag behind: so
    /// that what is shown together agrees.
    #[must_use]
    pub fn as_of(mut self, last: &message::Model, own: Option<&Member>) -> Self {
        self.last_seq = self.last_seq.max(last.seq);
        // Whoever writes has read.
        let sent = if last.sender_id == self.user_id { last.seq } else { 0 };
        let shown = own.map_or(0, |own| own.sent_seq.max(own.read_seq));
        self.read_seq = self.read_seq.max(sent).max(shown);
        if last.deleted_at.is_some() && !self.deleted.contains(&last.seq) {
            self.deleted.push(last.seq);
        }
        self
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
        let columns = columns();
        let sql = format!(
            "select {columns} from unnest($1::uuid[], $2::uuid[]) as asked(user_id, conversation_id)
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
    /// Which these are, as many as are looked at.
    pub unread_ids: Vec<ConversationId>,
}

struct ListedRow {
    entry: Option<Model>,
    unread: i64,
    unread_ids: Vec<Uuid>,
}

impl FromQueryResult for ListedRow {
    fn from_query_result(row: &QueryResult, prefix: &str) -> std::result::Result<Self, DbErr> {
        Ok(Self {
            entry: Model::from_query_result_optional(row, prefix)?,
            unread: row.try_get(prefix, "unread")?,
            unread_ids: row.try_get(prefix, "unread_ids")?,
        })
    }
}

/// A page of a user's conversations, archived or not, newest message first.
pub async fn page(connection: &Connection, user: UserId, page: &Page, archived: bool) -> Result<Listed> {
    let (from, id) = match page.after {
        Some(place) => (Some(place.time()?), Some(place.id)),
        None => (None, None),
    };
    let (columns, is_unread) = (columns(), is_unread());
    let sql = format!(
        "select unread.count as unread, unread.ids as unread_ids, {COLUMNS}, deleted from (
            select count(*) as count,
                coalesce((array_agg(conversation_id order by last_message_at desc))[1:$6], '{{}}') as ids
            from inbox where user_id = $1 and {is_unread} and left_at is null and is_archived = $5
        ) unread left join lateral (
            select {columns} from inbox where user_id = $1 and left_at is null and is_archived = $5
                and ($2::timestamptz is null or (last_message_at, conversation_id) < ($2, $3))
            order by last_message_at desc, conversation_id desc limit $4
        ) entry on true
        order by last_message_at desc, conversation_id desc"
    );
    let values =
        [user.uuid().into(), from.into(), id.into(), page.limit().into(), archived.into(), UNREAD_IDS.into()];
    let mut rows =
        ListedRow::find_by_statement(sql_with(&sql, values)).all(connection).await.map_err(failure)?;
    let unread = rows.first().map_or(0, |row| row.unread);
    let unread_ids = rows.first_mut().map(|row| std::mem::take(&mut row.unread_ids)).unwrap_or_default();
    let unread_ids = unread_ids.into_iter().map(ConversationId::from_row).collect();
    Ok(Listed { entries: rows.into_iter().filter_map(|row| row.entry).collect(), unread, unread_ids })
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

/// What a user's list says of one message of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column")]
pub struct KnownMessage {
    /// The user wants no notifications of the conversation's messages.
    pub is_muted: bool,
    /// The user left after it was sent.
    pub has_left: bool,
    pub is_deleted: bool,
    pub is_read: bool,
}

/// Asks what a user's list says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageOf {
    pub user: UserId,
    pub conversation: Uuid,
    pub seq: i64,
    /// The conversation's counter when it was sent.
    pub change: i64,
}

#[derive(FromQueryResult)]
struct KnownRow {
    place: i64,
    #[sea_orm(nested)]
    known: KnownMessage,
}

/// What users' lists, all on one shard, say of messages: by the place of the question, those left out whose
/// conversation is not in the list.
pub async fn known_messages(tx: &Tx, asked: &[MessageOf]) -> Result<HashMap<usize, KnownMessage>> {
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let sql =
        "select asked.place, is_muted, left_at is not null and inbox.change >= asked.change as has_left,
            deleted_seqs @> asked.seq::integer as is_deleted, read_seq >= asked.seq as is_read
        from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[])
            with ordinality as asked (user_id, conversation_id, seq, change, place)
        join inbox using (user_id, conversation_id)";
    let values = [
        column(asked, |asked| asked.user.uuid()),
        column(asked, |asked| asked.conversation),
        column(asked, |asked| asked.seq),
        column(asked, |asked| asked.change),
    ];
    let rows =
        KnownRow::find_by_statement(sql_with(sql, values)).all(tx.connection()).await.map_err(failure)?;
    let place = |row: &KnownRow| usize::try_from(row.place - 1).map_err(Error::internal);
    rows.into_iter().map(|row| Ok((place(&row)?, row.known))).collect()
}

/// Up to which change of a conversation a user's list is current.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Known {
    /// The change counter as of which the membership is known.
    pub change: i64,
    /// Up to which change the user's log is complete; unknown for old entries.
    pub logged_change: Option<i64>,
    /// Whether the user takes part.
    pub is_in: bool,
}

#[derive(FromQueryResult)]
struct KnownEntry {
    user_id: Uuid,
    conversation_id: Uuid,
    #[sea_orm(nested)]
    known: Known,
}

/// How current these users' lists, all on one shard, are for these conversations.
pub async fn known(
    tx: &Tx,
    asked: &[(UserId, ConversationId)],
) -> Result<HashMap<(UserId, ConversationId), Known>> {
    let sql = "select user_id, conversation_id, change, logged_change, left_at is null as is_in
        from unnest($1::uuid[], $2::uuid[]) as asked (user_id, conversation_id)
        join inbox using (user_id, conversation_id)";
    let values = [column(asked, |(user, _)| user.uuid()), column(asked, |(_, id)| id.uuid())];
    let rows =
        KnownEntry::find_by_statement(sql_with(sql, values)).all(tx.connection()).await.map_err(failure)?;
    let key =
        |row: &KnownEntry| (UserId::from_row(row.user_id), ConversationId::from_row(row.conversation_id));
    Ok(rows.into_iter().map(|row| (key(&row), row.known)).collect())
}

/// The minimum that a conversation's entry in a member's list must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    pub user: UserId,
    pub conversation: ConversationId,
    pub last_seq: i32,
    pub last_message_at: OffsetDateTime,
    /// Up to which message the user has read, unless the entry knows better.
    pub read_seq: i32,
    /// The change counter as of which the user was a member.
    pub change: i64,
    pub logged_change: i64,
    /// The numbers of messages that were deleted.
    pub deleted: Vec<i32>,
}

impl Update {
    /// Makes one of two updates of the same entry.
    pub fn merge(&mut self, other: Self) {
        self.last_seq = self.last_seq.max(other.last_seq);
        self.last_message_at = self.last_message_at.max(other.last_message_at);
        self.read_seq = self.read_seq.max(other.read_seq);
        self.change = self.change.max(other.change);
        self.logged_change = self.logged_change.max(other.logged_change);
        self.deleted.extend(other.deleted);
    }
}

/// Brings members' entries forward, one update for each at most; all of one shard, whose logs are locked.
pub async fn bring(tx: &Tx, updates: &[Update]) -> Result<()> {
    if updates.is_empty() {
        return Ok(());
    }
    let sql = "insert into inbox
            (user_id, conversation_id, last_seq, last_message_at, read_seq, change, logged_change, deleted_seqs)
        select user_id, conversation_id, last_seq, last_message_at, read_seq, change, logged_change,
            (select coalesce(range_agg(int4range(seq, seq, '[]')), '{}')
                from unnest(deleted::integer[]) as deleted (seq))
        from unnest($1::uuid[], $2::uuid[], $3::integer[], $4::timestamptz[], $5::integer[], $6::bigint[],
                $7::bigint[], $8::text[])
            as u (user_id, conversation_id, last_seq, last_message_at, read_seq, change, logged_change, deleted)
        on conflict (user_id, conversation_id) do update set
            last_seq = greatest(inbox.last_seq, excluded.last_seq),
            last_message_at = greatest(inbox.last_message_at, excluded.last_message_at),
            read_seq = greatest(inbox.read_seq, excluded.read_seq),
            change = greatest(inbox.change, excluded.change),
            logged_change = greatest(inbox.logged_change, excluded.logged_change),
            -- What was read is not unread anyway.
            deleted_seqs = (inbox.deleted_seqs + excluded.deleted_seqs)
                * int4multirange(int4range(greatest(inbox.read_seq, excluded.read_seq), null, '()')),
            -- Who comes back finds it as new.
            is_archived = inbox.is_archived and inbox.left_at is null,
            is_muted = inbox.is_muted and inbox.left_at is null,
            left_at = null";
    let values = [
        column(updates, |update| update.user.uuid()),
        column(updates, |update| update.conversation.uuid()),
        column(updates, |update| update.last_seq),
        column(updates, |update| update.last_message_at),
        column(updates, |update| update.read_seq),
        column(updates, |update| update.change),
        column(updates, |update| update.logged_change),
        column(updates, |update| array_literal(update.deleted.iter().map(i32::to_string))),
    ];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}

/// Takes a conversation out of the lists of these users, all of one shard, who were no members when its
/// counter stood at `change`. Who is known to have come later stays. Returns the others.
pub async fn leave(
    tx: &Tx,
    conversation: ConversationId,
    users: &[UserId],
    change: i64,
) -> Result<Vec<UserId>> {
    // Also where the user was never in the list: who comes in by an event that is late stays out.
    let sql = "insert into inbox
            (user_id, conversation_id, last_seq, read_seq, last_message_at, left_at, change)
        select user_id, $1, 0, 0, $3, $3, $4 from unnest($2::uuid[]) as gone (user_id) order by user_id
        on conflict (user_id, conversation_id) do update set
            left_at = coalesce(inbox.left_at, excluded.left_at), change = excluded.change
        where inbox.change <= excluded.change
        returning user_id";
    let users: Vec<Uuid> = users.iter().map(|user| user.uuid()).collect();
    let values = [conversation.uuid().into(), users.into(), tx.clock().now().into(), change.into()];
    let left = Left::find_by_statement(sql_with(sql, values)).all(tx.connection()).await.map_err(failure)?;
    Ok(left.into_iter().map(|left| UserId::from_row(left.user_id)).collect())
}

#[derive(FromQueryResult)]
struct Left {
    user_id: Uuid,
}

/// Deletes tombstones of conversations left more than 30 days ago; no event is delivered that late.
pub async fn purge_left(connection: &impl ConnectionTrait, limit: i64) -> Result<u64> {
    let sql = "delete from inbox where ctid = any(array(
        select ctid from inbox where left_at < now() - interval '30 days' limit $1))";
    let done = connection.execute_raw(sql_with(sql, [limit.into()])).await.map_err(failure)?;
    Ok(done.rows_affected())
}
