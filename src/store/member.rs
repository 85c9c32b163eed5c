//! Who takes part in a conversation, and how far each has read.

use std::collections::HashMap;

use sea_orm::FromQueryResult;
use sea_orm::entity::prelude::*;
use time::OffsetDateTime;

use super::coalesce::Batch;
use super::shard::failure;
use super::{Connection, Tx, sql_with};
use crate::model::Result;
use crate::model::conversation::{MAX_INBOXES, MAX_MEMBERS};
use crate::model::id::{ConversationId, Slot, UserId};
use crate::model::page::Page;

/// Somebody who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Member {
    pub conversation_id: Uuid,
    pub user_id: Uuid,
    pub joined_at: OffsetDateTime,
    /// The change counter when they joined; unknown for old memberships.
    pub joined_change: Option<i64>,
    /// Up to which message they have read, as shown to others.
    pub read_seq: i32,
    pub read_at: Option<OffsetDateTime>,
    /// The number of their last message; 0 where there is none. Not kept in the threads of posts.
    pub sent_seq: i32,
}

/// The columns of [`Member`], as statements name them.
const COLUMNS: &str = "conversation_id, user_id, joined_at, joined_change, read_seq, read_at, sent_seq";

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
        let sql = format!(
            "select {COLUMNS} from unnest($1::uuid[], $2::uuid[]) as asked(conversation_id, user_id)
            join members using (conversation_id, user_id)"
        );
        let conversations: Vec<Uuid> = keys.iter().map(|key| key.conversation.uuid()).collect();
        let users: Vec<Uuid> = keys.iter().map(|key| key.user.uuid()).collect();
        let rows = all(connection, &sql, [conversations.into(), users.into()]).await?;
        let key = |row: &Member| Self {
            conversation: ConversationId::from_row(row.conversation_id),
            user: row.user(),
        };
        Ok(rows.into_iter().map(|row| (key(&row), row)).collect())
    }
}

/// The first members of a conversation: all of a group, and more than the largest page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FirstMembers(pub ConversationId);

impl Batch for FirstMembers {
    type Key = Self;
    type Row = Vec<Member>;

    fn slot(key: &Self) -> Slot {
        key.0.slot()
    }

    async fn fetch(connection: &Connection, keys: Vec<Self>) -> Result<Vec<(Self, Vec<Member>)>> {
        let which = "true order by joined_at, user_id";
        let found = of_each(connection, keys.into_iter().map(|key| key.0), which, MAX_MEMBERS + 1).await?;
        Ok(found.into_iter().map(|(id, members)| (Self(id), members)).collect())
    }
}

/// The members of a conversation who have an inbox entry for it: those who joined last, [`MAX_INBOXES`] at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NewestMembers(pub ConversationId);

impl Batch for NewestMembers {
    type Key = Self;
    type Row = Vec<Member>;

    fn slot(key: &Self) -> Slot {
        key.0.slot()
    }

    async fn fetch(connection: &Connection, keys: Vec<Self>) -> Result<Vec<(Self, Vec<Member>)>> {
        let which = "true order by joined_at desc, user_id desc";
        let found = of_each(connection, keys.into_iter().map(|key| key.0), which, MAX_INBOXES).await?;
        Ok(found.into_iter().map(|(id, members)| (Self(id), members)).collect())
    }
}

/// How far each member has read; members with a read marker, in the order in which they joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Markers(pub ConversationId);

impl Batch for Markers {
    type Key = Self;
    type Row = Vec<Member>;

    fn slot(key: &Self) -> Slot {
        key.0.slot()
    }

    async fn fetch(connection: &Connection, keys: Vec<Self>) -> Result<Vec<(Self, Vec<Member>)>> {
        let which = "read_at is not null order by joined_at, user_id";
        let found = of_each(connection, keys.into_iter().map(|key| key.0), which, MAX_MEMBERS).await?;
        Ok(found.into_iter().map(|(id, members)| (Self(id), members)).collect())
    }
}

/// Those members of each conversation whom the condition and order in `which` give first, at most `limit` of each.
async fn of_each(
    connection: &Connection,
    ids: impl Iterator<Item = ConversationId>,
    which: &str,
    limit: i64,
) -> Result<Vec<(ConversationId, Vec<Member>)>> {
    let sql = format!(
        "select {COLUMNS} from unnest($1::uuid[]) with ordinality as asked (id, place) cross join lateral (
            select {COLUMNS}, row_number() over () as member_place from (
                select {COLUMNS} from members where conversation_id = asked.id and {which} limit $2) members) m
        order by asked.place, m.member_place"
    );
    let ids: Vec<Uuid> = ids.map(ConversationId::uuid).collect();
    let rows = all(connection, &sql, [ids.into(), limit.into()]).await?;
    let by_conversation = rows.chunk_by(|one, next| one.conversation_id == next.conversation_id);
    Ok(by_conversation
        .map(|rows| (ConversationId::from_row(rows[0].conversation_id), rows.to_vec()))
        .collect())
}

async fn all<const N: usize>(
    connection: &Connection,
    sql: &str,
    values: [sea_orm::Value; N],
) -> Result<Vec<Member>> {
    Member::find_by_statement(sql_with(sql, values)).all(connection).await.map_err(failure)
}

/// A page of the members, in the order in which they joined.
pub async fn page(connection: &Connection, id: ConversationId, page: &Page) -> Result<Vec<Member>> {
    let (from, user) = match page.after {
        Some(place) => (Some(place.time()?), Some(place.id)),
        None => (None, None),
    };
    let sql = format!(
        "select {COLUMNS} from members where conversation_id = $1
        and ($2::timestamptz is null or (joined_at, user_id) > ($2, $3))
        order by joined_at, user_id limit $4"
    );
    let values = [id.uuid().into(), from.into(), user.into(), page.limit().into()];
    Member::find_by_statement(sql_with(&sql, values)).all(connection).await.map_err(failure)
}

/// The next members behind `after`, by their ids.
pub async fn ids_after(
    connection: &Connection,
    id: ConversationId,
    after: Option<UserId>,
    limit: i64,
) -> Result<Vec<UserId>> {
    let sql = "select user_id as id from members
        where conversation_id = $1 and user_id > $2 order by user_id limit $3";
    let after = after.map_or(Uuid::nil(), UserId::uuid);
    let rows = Id::find_by_statement(sql_with(sql, [id.uuid().into(), after.into(), limit.into()]))
        .all(connection)
        .await
        .map_err(failure)?;
    Ok(rows.into_iter().map(|row| UserId::from_row(row.id)).collect())
}

#[derive(FromQueryResult)]
struct Id {
    id: Uuid,
}

/// Makes somebody a member; twice is once. False: they were.
pub async fn join(tx: &Tx, id: ConversationId, user: UserId) -> Result<bool> {
    let sql = "insert into members (conversation_id, user_id, joined_at, joined_change)
        select id, $2, $3, change from conversations where id = $1
        on conflict do nothing";
    let values = [id.uuid().into(), user.uuid().into(), tx.clock().now().into()];
    let joined = tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(joined.rows_affected() == 1)
}

/// Adds a group's creator and the others, the creator first.
pub async fn found(tx: &Tx, id: ConversationId, starter: UserId, others: &[UserId]) -> Result<()> {
    let sql = "insert into members (conversation_id, user_id, joined_at, joined_change)
        select c.id, m.user_id, case when m.user_id = $2 then $3 else $3 + interval '1 ms' end, c.change
        from conversations c, unnest($2::uuid || $4::uuid[]) as m (user_id) where c.id = $1";
    let others: Vec<Uuid> = others.iter().map(|user| user.uuid()).collect();
    let values = [id.uuid().into(), starter.uuid().into(), tx.clock().now().into(), others.into()];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}

/// Removes a member. False if they were none.
pub async fn leave(tx: &Tx, id: ConversationId, user: UserId) -> Result<bool> {
    let sql = "delete from members where conversation_id = $1 and user_id = $2";
    let values = [id.uuid().into(), user.uuid().into()];
    let left = tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(left.rows_affected() == 1)
}

/// The members who joined first, at most `limit`.
pub async fn oldest(tx: &Tx, id: ConversationId, limit: i64) -> Result<Vec<UserId>> {
    let sql = format!(
        "select {COLUMNS} from members where conversation_id = $1 order by joined_at, user_id limit $2"
    );
    let rows = all(tx.connection(), &sql, [id.uuid().into(), limit.into()]).await?;
    Ok(rows.iter().map(Member::user).collect())
}

#[derive(FromQueryResult)]
struct Newest {
    conversation_id: Uuid,
    user_ids: Vec<Uuid>,
}

/// The members who joined each of these conversations last, at most `limit` each.
pub async fn newest_of_each(
    tx: &Tx,
    ids: &[ConversationId],
    limit: i64,
) -> Result<HashMap<ConversationId, Vec<UserId>>> {
    let sql = "select asked.id as conversation_id, array(
            select user_id from members where conversation_id = asked.id
            order by joined_at desc, user_id desc limit $2
        ) as user_ids
        from unnest($1::uuid[]) as asked (id)";
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = Newest::find_by_statement(sql_with(sql, [ids.into(), limit.into()]))
        .all(tx.connection())
        .await
        .map_err(failure)?;
    let users = |ids: Vec<Uuid>| ids.into_iter().map(UserId::from_row).collect();
    Ok(rows
        .into_iter()
        .map(|row| (ConversationId::from_row(row.conversation_id), users(row.user_ids)))
        .collect())
}

/// Records up to which message a member has read, as shown to others; never moves back. `change` is the new
/// change counter. False if it is not new, or they are no member.
pub async fn mark_read(
    tx: &Tx,
    id: ConversationId,
    user: UserId,
    seq: i32,
    at: OffsetDateTime,
    change: i64,
) -> Result<bool> {
    let sql = "update members set read_seq = $3, read_at = $4, change = $5
        where conversation_id = $1 and user_id = $2 and read_seq < $3";
    let values = [id.uuid().into(), user.uuid().into(), seq.into(), at.into(), change.into()];
    let done = tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(done.rows_affected() == 1)
}
