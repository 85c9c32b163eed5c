//! What live streams are read from: counters, and the rows behind them.

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

/// The counters of these conversations, users' logs and posts' comments, all of one shard, with one
/// statement. What was never written to is absent.
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

/// A change of a conversation, with what was changed in its newest state: of a message, or of how far a member has read.
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

/// What of a conversation was changed after its counter stood at `after`, in the order of the changes. A
/// message is there with the number that it was sent with, and once more with that of its last change. One
/// statement, and so one moment: the counter is raised under the conversation's lock, so that all changes
/// up to the last one that is seen are seen.
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

/// The comments on a post that were written after its counter stood at `after`, replies among them.
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
