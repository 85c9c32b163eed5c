//! Changes of a conversation that are no new messages.

use crate::model::event::Event;
use crate::model::id::{ConversationId, UserId};
use crate::model::{Error, Result};
use crate::store::{Tx, conversation};

/// The number of a change that is not a new message; streams and lists are notified of it. `left` are those who took
/// part before it, and do not any more.
pub(in crate::domain) async fn next_change(
    tx: &Tx,
    conversation: ConversationId,
    left: Vec<UserId>,
) -> Result<i64> {
    let counted = conversation::count_change(tx, conversation).await?;
    let change = counted.ok_or(Error::NotFound("conversation"))?.change;
    tx.emit(&Event::ConversationChanged { conversation, change, sent: None, left })?;
    Ok(change)
}
