//! Notifications of what is gone are taken back.

use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::model::Result;
use crate::model::id::{ConversationId, UserId};
use crate::model::notification::Kind;
use crate::store::shard::failure;
use crate::store::statement::column;
use crate::store::{Tx, inbox, log, message, sql_with};

/// The notification of a receiver: of a kind, about a target.
pub type Target = (UserId, Kind, Uuid);

/// Hides notifications whose target is gone; all of one shard.
pub async fn withdraw(tx: &Tx, gone: &[Target]) -> Result<()> {
    if gone.is_empty() {
        return Ok(());
    }
    log::lock(tx, gone.iter().map(|(user, ..)| *user)).await?;
    let sql = "with shown as (
            select n.id, n.user_id, n.is_read
            from (select distinct user_id, kind, target_id
                from unnest($1::uuid[], $2::smallint[], $3::uuid[]) as asked (user_id, kind, target_id)) gone
            join notifications n using (user_id, kind, target_id)
            where n.actor_count > 0
        ), hidden as (
            update notifications set actor_count = 0, is_read = true where id in (select id from shown)
        ), actors as (
            update notification_actors set active = false
            where active and notification_id in (select id from shown)
        )
        update receivers set unread_count = unread_count - unread.count
        from (select user_id, count(*)::integer as count from shown where not is_read group by user_id) unread
        where receivers.user_id = unread.user_id";
    let values = [
        column(gone, |(user, ..)| user.uuid()),
        column(gone, |(_, kind, _)| *kind as i16),
        column(gone, |(.., target)| *target),
    ];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    Ok(())
}

/// Takes back what notified these users, all of one shard, of messages of a conversation that were deleted. `left`
/// is the last message of each sender that was not. Whoever has none is no actor any more, and with nothing unread
/// left the notification is read. The users' logs are locked, and their entries for the conversation say that these
/// messages were deleted.
pub async fn withdraw_messages(
    tx: &Tx,
    conversation: ConversationId,
    users: &[UserId],
    (deleted, left): (&[i32], &[message::LastOf]),
) -> Result<()> {
    let (users, kind) = (column(users, |user| user.uuid()), Kind::Message as i16);
    // An actor whose version is another number was told with a message that is still there.
    let sql = "update notification_actors a
        set active = left_over.seq > 0, at = case when left_over.seq > 0 then left_over.at else a.at end
        from notifications n,
            unnest($4::uuid[], $5::integer[], $6::timestamptz[]) as left_over (sender_id, seq, at)
        where n.user_id = any($1) and n.kind = $2 and n.target_id = $3 and a.notification_id = n.id
            and a.actor_id = left_over.sender_id and a.active and a.version = any($7::bigint[])";
    let deleted: Vec<i64> = deleted.iter().map(|seq| i64::from(*seq)).collect();
    let values = [
        users.clone(),
        kind.into(),
        conversation.uuid().into(),
        column(left, |last| last.sender_id),
        column(left, |last| last.seq.unwrap_or_default()),
        column(left, |last| last.created_at.unwrap_or(tx.clock().now())),
        deleted.into(),
    ];
    tx.connection().execute_raw(sql_with(sql, values)).await.map_err(failure)?;
    // Statements of their own: they see what the one before has written.
    let is_unread = inbox::is_unread();
    let sql = format!(
        "with shown as (
            select n.id, n.user_id, n.is_read, actors.count, actors.at, actors.count = 0 or not exists (
                select from inbox where user_id = n.user_id and conversation_id = n.target_id
                    and (actors.version > last_seq or {is_unread})) as has_read
            from notifications n cross join lateral (
                select count(*)::integer as count, max(at) as at, max(version) as version
                from notification_actors where notification_id = n.id and active) actors
            where n.user_id = any($1) and n.kind = $2 and n.target_id = $3 and n.actor_count > 0
        ), changed as (
            update notifications n set actor_count = shown.count, is_read = n.is_read or shown.has_read,
                updated_at = coalesce(shown.at, n.updated_at)
            from shown where n.id = shown.id
        )
        update receivers set unread_count = unread_count - 1
        where user_id in (select user_id from shown where has_read and not is_read)"
    );
    let values = [users, kind.into(), conversation.uuid().into()];
    tx.connection().execute_raw(sql_with(&sql, values)).await.map_err(failure)?;
    Ok(())
}
