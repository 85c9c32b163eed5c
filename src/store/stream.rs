//! What live streams are read from: counters, and the rows behind them.

use sea_orm::FromQueryResult;
use sea_orm::entity::prelude::*;
use time::OffsetDateTime;

use super::shard::failure;
use super::{Connection, message, sql_with};
use crate::domain::Result;
use crate::domain::id::{ConversationId, UserId};

/// A row of a user's log: something that the user's streams tell. The numbers have no holes; old rows
/// are purged.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct LogRow {
    pub user_id: Uuid,
    pub n: i64,
    pub topic: i16,
    pub ref_id: Uuid,
    pub at: OffsetDateTime,
}

/// The counter of one conversation or one receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromQueryResult)]
pub struct Counter {
    pub id: Uuid,
    pub n: i64,
}

/// The counters of these conversations and users' logs, all of one shard, with one statement. What was
/// never written to is absent.
pub async fn counters(
    connection: &Connection,
    conversations: Vec<Uuid>,
    users: Vec<Uuid>,
) -> Result<Vec<Counter>> {
    let sql = "select id, change as n from conversations where id = any($1)
        union all select user_id, n from receivers where user_id = any($2)";
    Counter::find_by_statement(sql_with(sql, [conversations.into(), users.into()]))
        .all(connection)
        .await
        .map_err(failure)
}

/// The messages that were changed after the conversation's counter stood at `after`, in the order of
/// their last changes.
pub async fn messages_after(
    connection: &Connection,
    id: ConversationId,
    after: i64,
    limit: i64,
) -> Result<Vec<message::Model>> {
    let sql = "select * from messages where conversation_id = $1 and change > $2 order by change limit $3";
    message::Entity::find()
        .from_raw_sql(sql_with(sql, [id.uuid().into(), after.into(), limit.into()]))
        .all(connection)
        .await
        .map_err(failure)
}

/// The rows of a user's log behind `after`.
pub async fn log_after(connection: &Connection, user: UserId, after: i64, limit: i64) -> Result<Vec<LogRow>> {
    let sql = "select user_id, n, topic, ref_id, at from receiver_log
        where user_id = $1 and n > $2 order by n limit $3";
    LogRow::find_by_statement(sql_with(sql, [user.uuid().into(), after.into(), limit.into()]))
        .all(connection)
        .await
        .map_err(failure)
}
