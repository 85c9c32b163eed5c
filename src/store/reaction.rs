//! Reactions to messages; in the conversation's slot.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use super::coalesce::Batch;
use super::shard::failure;
use super::{Connection, Tx, sql_with};
use crate::model::Result;
use crate::model::id::{MessageId, Slot, UserId};

/// How many users gave a message this emoji.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    pub emoji: String,
    pub count: i64,
    /// Whether the viewer is one of them.
    pub by_viewer: bool,
}

/// Key: the reactions to a message as seen by a user; the nil id stands for nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReactionsTo {
    pub message: MessageId,
    pub viewer: Uuid,
}

#[derive(FromQueryResult)]
struct Row {
    message_id: Uuid,
    viewer: Uuid,
    emoji: String,
    count: i64,
    by_viewer: bool,
}

impl Batch for ReactionsTo {
    type Key = Self;
    type Row = Vec<Counted>;

    fn slot(key: &Self) -> Slot {
        key.message.slot()
    }

    /// The most frequent first.
    async fn fetch(connection: &Connection, keys: Vec<Self>) -> Result<Vec<(Self, Vec<Counted>)>> {
        let sql = "select r.message_id, asked.viewer, r.emoji, count(*) as count,
                bool_or(r.user_id = asked.viewer) as by_viewer
            from unnest($1::uuid[], $2::uuid[]) as asked(message_id, viewer) join reactions r using (message_id)
            group by r.message_id, asked.viewer, r.emoji
            order by count(*) desc, min(r.created_at), r.emoji";
        let (messages, viewers): (Vec<Uuid>, Vec<Uuid>) =
            keys.iter().map(|key| (key.message.uuid(), key.viewer)).unzip();
        let rows = Row::find_by_statement(sql_with(sql, [messages.into(), viewers.into()]))
            .all(connection)
            .await
            .map_err(failure)?;
        let mut found: HashMap<Self, Vec<Counted>> = HashMap::new();
        for Row { message_id, viewer, emoji, count, by_viewer } in rows {
            let key = Self { message: MessageId::from_row(message_id), viewer };
            found.entry(key).or_default().push(Counted { emoji, count, by_viewer });
        }
        Ok(found.into_iter().collect())
    }
}

/// Adds or removes a reaction. False if nothing changed.
pub async fn set(tx: &Tx, message: MessageId, user: UserId, emoji: &str, on: bool) -> Result<bool> {
    let key = [message.uuid().into(), user.uuid().into(), emoji.into()];
    let statement = if on {
        let sql = "insert into reactions (message_id, user_id, emoji, created_at) values ($1, $2, $3, $4)
            on conflict do nothing";
        let [message, user, emoji] = key;
        sql_with(sql, [message, user, emoji, tx.clock().now().into()])
    } else {
        sql_with("delete from reactions where message_id = $1 and user_id = $2 and emoji = $3", key)
    };
    let done = tx.connection().execute_raw(statement).await.map_err(failure)?;
    Ok(done.rows_affected() == 1)
}

#[derive(FromQueryResult)]
struct Count {
    count: i64,
}

/// How many reactions a user has given to a message.
pub async fn count_of(tx: &Tx, message: MessageId, user: UserId) -> Result<i64> {
    let sql = "select count(*) as count from reactions where message_id = $1 and user_id = $2";
    let row = Count::find_by_statement(sql_with(sql, [message.uuid().into(), user.uuid().into()]))
        .one(tx.connection())
        .await
        .map_err(failure)?;
    Ok(row.map_or(0, |row| row.count))
}
