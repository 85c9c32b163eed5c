//! Members' inboxes against their conversations.

use sea_orm::FromQueryResult;
use sea_orm::entity::prelude::*;
use time::OffsetDateTime;

use crate::model::Result;
use crate::store::shard::failure;
use crate::store::{Connection, Tx, sql_with};

/// A member of a conversation, and what the member's inbox has to say of it.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Member {
    pub user_id: Uuid,
    pub conversation_id: Uuid,
    /// The conversation's counter.
    pub change: i64,
    /// Whether the conversation is to be in the member's list, with its last message.
    pub was_told: bool,
    /// The number of the last message: 0 where nobody has written.
    pub seq: i32,
    /// When it was sent, or the member joined.
    pub sent_at: OffsetDateTime,
}

/// (user, conversation)
pub type Pair = (Uuid, Uuid);

/// A post that was deleted just now may not have been purged yet.
const LIVING: &str = "(posts.deleted_at is null or posts.deleted_at > now() - interval '1 hour')";

/// A group is in the list of each member at once, another conversation with its first message. Who joined a
/// thread after the last message has not been told of it, and of a long thread only the `told` who joined
/// last.
fn members(from: &str, told: i64) -> String {
    format!(
        "select m.user_id, m.conversation_id, c.change, coalesce(last.seq, 0) as seq,
            greatest(last.created_at, m.joined_at) as sent_at,
            c.kind = 1 or coalesce(last.created_at >= m.joined_at and (
                last.sender_id = m.user_id or (select count(*) from (
                    select from members later where later.conversation_id = m.conversation_id
                        and (later.joined_at, later.user_id) > (m.joined_at, m.user_id)
                    limit {told}) later) < {told}), false) as was_told
        from {from} join conversations c on c.id = m.conversation_id
        left join lateral (
            select seq, sender_id, created_at from messages where conversation_id = m.conversation_id
            order by seq desc limit 1) last on true
        where c.post_id is null or exists (select from posts where posts.id = c.post_id and {LIVING})"
    )
}

/// The next members behind `after`, which is (conversation, user), by their keys.
pub async fn page(
    connection: &Connection,
    after: (Uuid, Uuid),
    limit: i64,
    told: i64,
) -> Result<Vec<Member>> {
    let sql = members(
        "(select conversation_id, user_id, joined_at from members where (conversation_id, user_id) > ($1, $2)
            order by conversation_id, user_id limit $3) m",
        told,
    );
    let sql = format!("{sql} order by m.conversation_id, m.user_id");
    Member::find_by_statement(sql_with(&sql, [after.0.into(), after.1.into(), limit.into()]))
        .all(connection)
        .await
        .map_err(failure)
}

/// Those of these who are members.
pub async fn fetch(connection: &Connection, asked: Vec<Pair>, told: i64) -> Result<Vec<Member>> {
    let sql = members(
        "(select conversation_id, user_id, members.joined_at from unnest($1::uuid[], $2::uuid[]) asked (user_id, conversation_id)
            join members using (user_id, conversation_id)) m",
        told,
    );
    let (users, conversations): (Vec<Uuid>, Vec<Uuid>) = asked.into_iter().unzip();
    Member::find_by_statement(sql_with(&sql, [users.into(), conversations.into()]))
        .all(connection)
        .await
        .map_err(failure)
}

#[derive(FromQueryResult)]
struct Key {
    user_id: Uuid,
    conversation_id: Uuid,
}

/// Those of these members whose inboxes are behind, or absent.
pub async fn behind(connection: &Connection, members: Vec<Member>) -> Result<Vec<Pair>> {
    let sql = "select m.user_id, m.conversation_id
        from unnest($1::uuid[], $2::uuid[], $3::integer[]) m (user_id, conversation_id, seq)
        left join inbox i on i.user_id = m.user_id and i.conversation_id = m.conversation_id and i.left_at is null
        where i.user_id is null or i.last_seq < m.seq";
    let users: Vec<Uuid> = members.iter().map(|member| member.user_id).collect();
    let conversations: Vec<Uuid> = members.iter().map(|member| member.conversation_id).collect();
    let seqs: Vec<i32> = members.iter().map(|member| member.seq).collect();
    pairs(connection, sql, [users.into(), conversations.into(), seqs.into()]).await
}

async fn pairs<const N: usize>(
    connection: &Connection,
    sql: &str,
    values: [sea_orm::Value; N],
) -> Result<Vec<Pair>> {
    let rows = Key::find_by_statement(sql_with(sql, values)).all(connection).await.map_err(failure)?;
    Ok(rows.into_iter().map(|row| (row.user_id, row.conversation_id)).collect())
}

/// An entry of an inbox.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Entry {
    pub user_id: Uuid,
    pub conversation_id: Uuid,
    pub last_seq: i32,
    pub read_seq: i32,
    pub last_message_at: OffsetDateTime,
    /// The ranges of numbers of deleted messages, as a literal.
    pub deleted: String,
}

/// The columns of [`Entry`].
const ENTRY: &str =
    "user_id, conversation_id, last_seq, read_seq, last_message_at, deleted_seqs::text as deleted";

/// The next entries behind `after`, by their keys.
pub async fn entries(connection: &Connection, after: Pair, limit: i64) -> Result<Vec<Entry>> {
    let sql = format!(
        "select {ENTRY} from inbox where (user_id, conversation_id) > ($1, $2) and left_at is null
        order by user_id, conversation_id limit $3"
    );
    Entry::find_by_statement(sql_with(&sql, [after.0.into(), after.1.into(), limit.into()]))
        .all(connection)
        .await
        .map_err(failure)
}

/// Those of these entries that are of no member, of the thread of a post that is gone, or say more messages than there are.
pub async fn strange(connection: &Connection, entries: Vec<Entry>) -> Result<Vec<Pair>> {
    let sql = format!(
        "select e.user_id, e.conversation_id
        from unnest($1::uuid[], $2::uuid[], $3::integer[]) e (user_id, conversation_id, last_seq)
        left join members m using (user_id, conversation_id)
        left join conversations c on c.id = m.conversation_id
        where m.user_id is null or c.post_id is not null
            and not exists (select from posts where posts.id = c.post_id and {LIVING})
            or e.last_seq > coalesce(
            (select max(seq) from messages where conversation_id = e.conversation_id), 0)"
    );
    let users: Vec<Uuid> = entries.iter().map(|entry| entry.user_id).collect();
    let conversations: Vec<Uuid> = entries.iter().map(|entry| entry.conversation_id).collect();
    let seqs: Vec<i32> = entries.iter().map(|entry| entry.last_seq).collect();
    pairs(connection, &sql, [users.into(), conversations.into(), seqs.into()]).await
}

/// A message that was deleted, and that an entry counts as unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Counted {
    pub user_id: Uuid,
    pub conversation_id: Uuid,
    pub seq: i32,
    /// The conversation's counter when it was deleted.
    pub change: i64,
}

/// The messages that were deleted before then, and that these entries count as unread; of each entry the one that
/// was deleted first.
pub async fn counted_deleted(
    connection: &Connection,
    entries: Vec<Entry>,
    before: OffsetDateTime,
) -> Result<Vec<Counted>> {
    let sql = "select e.user_id, e.conversation_id, m.seq, m.change
        from unnest($1::uuid[], $2::uuid[], $3::integer[], $4::integer[], $5::text[])
            e (user_id, conversation_id, last_seq, read_seq, deleted)
        cross join lateral (
            select seq, change from messages
            where conversation_id = e.conversation_id and seq > e.read_seq and seq <= e.last_seq
                and deleted_at < $6 and not e.deleted::int4multirange @> seq
            order by change limit 1) m";
    let values = [
        entries.iter().map(|entry| entry.user_id).collect::<Vec<_>>().into(),
        entries.iter().map(|entry| entry.conversation_id).collect::<Vec<_>>().into(),
        entries.iter().map(|entry| entry.last_seq).collect::<Vec<_>>().into(),
        entries.iter().map(|entry| entry.read_seq).collect::<Vec<_>>().into(),
        entries.into_iter().map(|entry| entry.deleted).collect::<Vec<_>>().into(),
        before.into(),
    ];
    Counted::find_by_statement(sql_with(sql, values)).all(connection).await.map_err(failure)
}

/// The entries of these pairs.
pub async fn entries_of(connection: &Connection, asked: Vec<Pair>) -> Result<Vec<Entry>> {
    let sql = format!(
        "select {ENTRY} from unnest($1::uuid[], $2::uuid[]) asked (user_id, conversation_id)
        join inbox using (user_id, conversation_id) where left_at is null"
    );
    let (users, conversations): (Vec<Uuid>, Vec<Uuid>) = asked.into_iter().unzip();
    Entry::find_by_statement(sql_with(&sql, [users.into(), conversations.into()]))
        .all(connection)
        .await
        .map_err(failure)
}

/// An entry, locked until the transaction ends.
pub async fn hold(tx: &Tx, (user, conversation): Pair) -> Result<Option<Entry>> {
    let sql = format!("select {ENTRY} from inbox where user_id = $1 and conversation_id = $2 for update");
    Entry::find_by_statement(sql_with(&sql, [user.into(), conversation.into()]))
        .one(tx.connection())
        .await
        .map_err(failure)
}

/// Takes an entry that is held back to the last message that there is.
pub async fn take_back(tx: &Tx, (user, conversation): Pair, seq: i32, at: OffsetDateTime) -> Result<()> {
    let sql = "update inbox set last_seq = $3, read_seq = least(read_seq, $3), last_message_at = $4
        where user_id = $1 and conversation_id = $2";
    let values = [user.into(), conversation.into(), seq.into(), at.into()];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}

/// Removes an entry that is held.
pub async fn remove(tx: &Tx, (user, conversation): Pair) -> Result<()> {
    let sql = "delete from inbox where user_id = $1 and conversation_id = $2";
    tx.connection().execute_raw(sql_with(sql, [user.into(), conversation.into()])).await.map_err(failure)?;
    Ok(())
}
