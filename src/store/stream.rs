//! Reads for live streams: counters, and the rows behind them.

use std::collections::HashMap;
use std::sync::Arc;

use sea_orm::entity::prelude::*;
use sea_orm::{FromQueryResult, QueryResult};
use time::OffsetDateTime;

use super::coalesce::Batch;
use super::shard::failure;
use super::statement::column;
use super::{Connection, comment, message, sql_with};
use crate::model::Result;
use crate::model::id::{ConversationId, PostId, Slot, UserId};

/// The counter of one conversation, one receiver, or one post's comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Counter {
    pub id: Uuid,
    pub n: i64,
}

/// The counters of these conversations, users' logs and posts' comments, all on one shard, with one
/// statement. What has never been written to is missing.
pub async fn counters(
    connection: &Connection,
    conversations: Vec<Uuid>,
    users: Vec<Uuid>,
    posts: Vec<Uuid>,
) -> Result<Vec<Counter>> {
    let sql = "select id, change as n from conversations where id = any($1)
        union all select user_id, n from receivers where user_id = any($2)
        union all select id, comment_seq from posts where id = any($3)";
    Counter::find_by_statement(sql_with(sql, [conversations.into(), users.into(), posts.into()]))
        .all(connection)
        .await
        .map_err(failure)
}

/// A change of a conversation, with the newest state of what was changed: a message, or a read marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The conversation's counter when it was made.
    pub change: i64,
    pub what: What,
}

/// What was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Message(Arc<message::Model>),
    Read(Marker),
}

/// How far somebody has read in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    pub conversation: ConversationId,
    pub user: UserId,
    pub seq: i32,
    pub at: OffsetDateTime,
}

/// The most changes of a conversation that are read at once.
pub const MAX_CHANGES: i64 = 500;

/// Asks for the changes of a conversation after its counter was at `after`, in order, [`MAX_CHANGES`] at most. A
/// message appears under the number it was sent with, and again under that of its last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChangesAfter {
    pub conversation: ConversationId,
    pub after: i64,
}

struct ChangedAfter {
    conversation_id: Uuid,
    after: i64,
    changed: Changed,
}

impl FromQueryResult for ChangedAfter {
    fn from_query_result(row: &QueryResult, prefix: &str) -> std::result::Result<Self, DbErr> {
        let conversation_id = row.try_get(prefix, "asked_id")?;
        let after = row.try_get(prefix, "asked_after")?;
        let reader: Option<Uuid> = row.try_get(prefix, "reader_id")?;
        let what = match reader {
            Some(user) => What::Read(Marker {
                conversation: ConversationId::from_row(conversation_id),
                user: UserId::from_row(user),
                seq: row.try_get(prefix, "read_seq")?,
                at: row.try_get(prefix, "read_at")?,
            }),
            None => What::Message(Arc::new(message::Model::from_query_result(row, prefix)?)),
        };
        let changed = Changed { change: row.try_get(prefix, "changed")?, what };
        Ok(Self { conversation_id, after, changed })
    }
}

impl Batch for ChangesAfter {
    type Key = Self;
    type Row = Vec<Changed>;

    fn slot(key: &Self) -> Slot {
        key.conversation.slot()
    }

    async fn fetch(connection: &Connection, keys: Vec<Self>) -> Result<Vec<(Self, Vec<Changed>)>> {
        let mut changes: HashMap<Self, Vec<Changed>> = HashMap::new();
        for row in read_changes(connection, &keys, MAX_CHANGES).await? {
            let conversation = ConversationId::from_row(row.conversation_id);
            changes.entry(Self { conversation, after: row.after }).or_default().push(row.changed);
        }
        Ok(changes.into_iter().collect())
    }
}

/// Like [`ChangesAfter`], with at most `limit` changes.
pub async fn changes_after(
    connection: &Connection,
    conversation: ConversationId,
    after: i64,
    limit: i64,
) -> Result<Vec<Changed>> {
    let rows = read_changes(connection, &[ChangesAfter { conversation, after }], limit).await?;
    Ok(rows.into_iter().map(|row| row.changed).collect())
}

/// One statement reads one snapshot, and the counter is incremented under the conversation's lock, so no change up to
/// the last one seen can be missing.
async fn read_changes(
    connection: &Connection,
    asked: &[ChangesAfter],
    limit: i64,
) -> Result<Vec<ChangedAfter>> {
    let columns = &*message::COLUMNS;
    // With a limit, the planner reads the one row by its index, also where it expects many changes.
    let sql = format!(
        "select asked.conversation_id as asked_id, asked.after as asked_after, changed.change as changed, changed.reader_id,
            members.read_seq, members.read_at, {columns}
        from unnest($1::uuid[], $2::bigint[]) as asked (conversation_id, after)
        cross join lateral (
            (select change, id as message_id, null::uuid as reader_id from messages
                where conversation_id = asked.conversation_id and change > asked.after
                order by change limit $3)
            union all
            (select sent_change, id, null from messages
                where conversation_id = asked.conversation_id and sent_change > asked.after
                    and change <> sent_change
                order by sent_change limit $3)
            union all
            (select change, null, user_id from members
                where conversation_id = asked.conversation_id and change > asked.after
                order by change limit $3)
            order by change limit $3
        ) changed
        left join lateral (
            select {columns} from messages where id = changed.message_id limit 1
        ) messages on true
        left join lateral (
            select read_seq, read_at from members
            where conversation_id = asked.conversation_id and user_id = changed.reader_id limit 1
        ) members on true
        order by asked.conversation_id, asked.after, changed.change"
    );
    let values =
        [column(asked, |asked| asked.conversation.uuid()), column(asked, |asked| asked.after), limit.into()];
    ChangedAfter::find_by_statement(sql_with(&sql, values)).all(connection).await.map_err(failure)
}

/// The comments and replies on a post after its counter was at `after`.
pub async fn comments_after(
    connection: &Connection,
    post: PostId,
    after: i64,
    limit: i64,
) -> Result<Vec<comment::Model>> {
    let columns = &*comment::COLUMNS;
    let sql = format!("select {columns} from comments where post_id = $1 and n > $2 order by n limit $3");
    comment::Entity::find()
        .from_raw_sql(sql_with(&sql, [post.uuid().into(), after.into(), limit.into()]))
        .all(connection)
        .await
        .map_err(failure)
}
