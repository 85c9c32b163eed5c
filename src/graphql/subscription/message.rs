//! What happens in a conversation.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Result, SimpleObject, Subscription};
use futures_util::Stream;

use super::{Event, events};
use crate::domain::account::Viewer;
use crate::domain::id::ConversationId;
use crate::domain::{Domain, Error};
use crate::graphql::context::ContextExt;
use crate::graphql::conversation::Message;
use crate::graphql::scalar::{Cursor, DateTime};
use crate::live::Topic;
use crate::store::message;

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

#[derive(Default)]
pub struct MessageSubscription;

#[Subscription]
impl MessageSubscription {
    /// The messages of a conversation: those after the cursor, then each new one.
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
        let allowed = move || may_read(domain.clone(), viewer.clone(), id);
        events(ctx, Topic::Conversation(id), after, allowed).await
    }
}

async fn may_read(domain: Domain, viewer: Viewer, id: ConversationId) -> Result<(), Error> {
    domain.require_conversation(Some(&viewer), id).await.map(|_| ())
}

/// The event of a message, for who knew all up to the counter `since`.
pub fn event(cursor: Cursor, replayed: bool, row: Arc<message::Model>, since: i64) -> Event {
    let change = MessageChange::of(&row, since);
    let at = match change {
        MessageChange::Sent => Some(row.created_at),
        MessageChange::Edited | MessageChange::Deleted | MessageChange::Reacted => row.changed_at,
    };
    let at = at.unwrap_or(row.created_at).into();
    Event::Message(MessageEvent { cursor, replayed, at, message: Message { row }, change })
}
