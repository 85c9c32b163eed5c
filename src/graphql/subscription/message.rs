//! What happens in a conversation.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Result, SimpleObject, Subscription};
use futures_util::Stream;

use super::{Event, Head, events};
use crate::domain::Domain;
use crate::domain::account::Viewer;
use crate::graphql::context::ContextExt;
use crate::graphql::conversation::ReadMarker;
use crate::graphql::message::Message;
use crate::graphql::scalar::{Cursor, DateTime};
use crate::live::{Change, Delivery, Ready, Topic};
use crate::model::Error;
use crate::model::id::ConversationId;
use crate::store::message;
use crate::store::stream::Marker;

/// What became of a message. The message comes in its newest state, so that it may be taken over
/// whatever was known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum MessageChange {
    Sent,
    Edited,
    Deleted,
    Reacted,
}

impl MessageChange {
    /// What the change is to somebody who knew all up to the counter `since`.
    fn of(row: &message::Model, since: i64) -> Self {
        if row.sent_change > since {
            Self::Sent
        } else if row.deleted_at.is_some() {
            Self::Deleted
        } else if row.edited_change > since {
            Self::Edited
        } else {
            Self::Reacted
        }
    }
}

#[derive(SimpleObject)]
pub struct MessageEvent {
    pub cursor: Cursor,
    pub replayed: bool,
    pub at: DateTime,
    message: Message,
    change: MessageChange,
}

/// Somebody has read a conversation up to a message.
#[derive(SimpleObject)]
pub struct ReadEvent {
    pub cursor: Cursor,
    pub replayed: bool,
    pub at: DateTime,
    conversation_id: ID,
    marker: ReadMarker,
}

#[derive(Default)]
pub struct MessageSubscription;

#[Subscription]
impl MessageSubscription {
    /// What happens in a conversation: messages that are sent, edited, deleted and reacted to, and, in direct
    /// and group conversations, how far the members read. First what came after the cursor, then each as it
    /// comes.
    async fn message_added(
        &self,
        ctx: &Context<'_>,
        conversation_id: ID,
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Result<Event>> + use<>> {
        let viewer = ctx.require_viewer()?.clone();
        let id = ConversationId::parse("conversationId", &conversation_id)?;
        ctx.domain().require_conversation(Some(&viewer), id).await?;
        let domain = ctx.domain().clone();
        let prepare = move |changes| admitted(domain.clone(), viewer.clone(), id, changes);
        events(ctx, Topic::Conversation(id), after, prepare, |head, change, since| match change {
            Told::Message { row, number } => {
                let since = known(&row, number, since.n);
                event(head, row, since)
            }
            Told::Read(marker) => read_event(head, &marker),
        })
        .await
    }
}

/// A change of a conversation.
enum Told {
    Message {
        row: Arc<message::Model>,
        /// Of the change, by the conversation's counter.
        number: i64,
    },
    Read(Marker),
}

/// A page of changes, if the viewer may still read the conversation.
async fn admitted(
    domain: Domain,
    viewer: Viewer,
    id: ConversationId,
    changes: Vec<Delivery>,
) -> Result<Vec<Ready<Told>>, Error> {
    domain.require_conversation(Some(&viewer), id).await?;
    let ready = changes.into_iter().filter_map(|Delivery { position, change }| {
        let told = match change {
            Change::Message(row) => Told::Message { row, number: position.n },
            Change::Read(marker) => Told::Read(marker),
            _ => return None,
        };
        Some(Ready { position, what: Some(told) })
    });
    Ok(ready.collect())
}

/// Up to where all of a message is known to somebody who knew all up to the counter `since`, and is now told
/// of its change with this number: what was sent is told as sent, before all that became of it.
fn known(row: &message::Model, number: i64, since: i64) -> i64 {
    if row.sent_change == number { number - 1 } else { since.max(row.sent_change) }
}

/// The event of a message, for who knew all up to the counter `since`.
pub fn event(head: Head, row: Arc<message::Model>, since: i64) -> Event {
    let Head { cursor, replayed } = head;
    let change = MessageChange::of(&row, since);
    let at = match change {
        MessageChange::Sent => Some(row.created_at),
        MessageChange::Edited | MessageChange::Deleted | MessageChange::Reacted => row.changed_at,
    };
    let at = at.unwrap_or(row.created_at).into();
    Event::Message(MessageEvent { cursor, replayed, at, message: row.into(), change })
}

pub fn read_event(head: Head, marker: &Marker) -> Event {
    let Head { cursor, replayed } = head;
    let conversation_id = ID::from(marker.conversation.uuid());
    let at = marker.at;
    let marker = ReadMarker::new(marker.user, marker.seq, at);
    Event::Read(ReadEvent { cursor, replayed, at: at.into(), conversation_id, marker })
}
