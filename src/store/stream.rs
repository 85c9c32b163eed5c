//! Reads for live streams: counters, and the rows behind them.

use std::sync::Arc;

use sea_orm::entity::prelude::*;
use sea_orm::{FromQueryResult, QueryResult};
use time::OffsetDateTime;

use super::shard::failure;
use super::{Connection, comment, message, sql_with};
use crate::model::Result;
use crate::model::id::{ConversationId, PostId, UserId};

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

impl FromQueryResult for Changed {
    fn from_query_result(row: &QueryResult, prefix: &str) -> std::result::Result<Self, DbErr> {
        let reader: Option<Uuid> = row.try_get(prefix, "reader_id")?;
        let what = match reader {
            Some(user) => What::Read(Marker {
                conversation: ConversationId::from_row(row.try_get(prefix, "read_in")?),
                user: UserId::from_row(user),
                seq: row.try_get(prefix, "read_seq")?,
                at: row.try_get(prefix, "read_at")?,
            }),
            None => What::Message(Arc::new(message::Model::from_query_result(row, prefix)?)),
        };
        Ok(Self { change: row.try_get(prefix, "changed")?, what })
    }
}

/// The changes of a conversation after its counter was at `after`, in order. A message appears under the
/// number it was sent with, and again under that of its last change. One statement reads one snapshot, and
/// the counter is incremented under the conversation's lock, so no change up to the last one seen can be
/// missing.
pub async fn changes_after(
    connection: &Connection,
    id: ConversationId,
    after: i64,
    limit: i64,
) -> Result<Vec<Changed>> {
    let columns = &*message::COLUMNS;
    let sql = format!(
        "with changed as (
            (select change, id as message_id, null::uuid as reader_id from messages
                where conversation_id = $1 and change > $2 order by change limit $3)
            union all
            (select sent_change, id, null from messages
                where conversation_id = $1 and sent_change > $2 and change <> sent_change
                order by sent_change limit $3)
            union all
            (select change, null, user_id from members
                where conversation_id = $1 and change > $2 order by change limit $3)
            order by change limit $3
        )
        select changed.change as changed, changed.reader_id, m.read_seq, m.read_at, $1::uuid as read_in, {columns}
        from changed
        left join messages on messages.id = changed.message_id
        left join members m on m.conversation_id = $1 and m.user_id = changed.reader_id
        order by changed.change"
    );
    let values = [id.uuid().into(), after.into(), limit.into()];
    Changed::find_by_statement(sql_with(&sql, values)).all(connection).await.map_err(failure)
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
