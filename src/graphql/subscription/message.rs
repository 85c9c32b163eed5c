//! What happens in a conversation.

use std::sync::Arc;

use async_graphql::{Context, ID, Result, Subscription};
use futures_util::Stream;

use super::event::{Event, MessageEvent, ReadEvent};
use super::events::events;
use crate::domain::Domain;
use crate::domain::viewer::Viewer;
use crate::graphql::context::ContextExt;
use crate::graphql::scalar::Cursor;
use crate::live::{Change, Delivery, Ready, Topic};
use crate::model::Error;
use crate::model::id::ConversationId;
use crate::store::message;
use crate::store::stream::Marker;

#[derive(Default)]
pub struct MessageSubscription;

#[Subscription]
impl MessageSubscription {
    /// The changes of a conversation: messages that are sent, edited, deleted or reacted to, and, in direct and group
    /// conversations, how far the members have read. First the changes after the cursor, then new ones.
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
            ConversationEvent::Message { row, number } => {
                let since = known(&row, number, since.n);
                Event::Message(MessageEvent::new(head, row, since))
            }
            ConversationEvent::Read(marker) => Event::Read(ReadEvent::new(head, &marker)),
        })
        .await
    }
}

/// A change of a conversation.
enum ConversationEvent {
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
) -> Result<Vec<Ready<ConversationEvent>>, Error> {
    domain.require_conversation(Some(&viewer), id).await?;
    let ready = changes.into_iter().filter_map(|Delivery { position, change }| {
        let event = match change {
            Change::Message(row) => ConversationEvent::Message { row, number: position.n },
            Change::Read(marker) => ConversationEvent::Read(marker),
            _ => return None,
        };
        Some(Ready { position, what: Some(event) })
    });
    Ok(ready.collect())
}

/// Up to where all of a message is known to somebody who knew all up to the counter `since`, and is now told
/// of its change with this number: what was sent is told as sent, before all that became of it.
fn known(row: &message::Model, number: i64, since: i64) -> i64 {
    if row.sent_change == number { number - 1 } else { since.max(row.sent_change) }
}
