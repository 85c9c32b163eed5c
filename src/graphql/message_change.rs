//! What people do to messages that were sent.

use async_graphql::{Context, ID, Object, SimpleObject};

use super::context::ContextExt;
use super::conversation::{self, Conversation};
use super::message::Message;
use super::nullable::{Nullable, nullable};
use crate::domain::conversation::message_change::Emoji;
use crate::model::Error;
use crate::model::id::{ConversationId, MessageId};
use crate::store::reaction::Counted;

/// An emoji with which users reacted to a message, and how many they are.
#[derive(Debug, SimpleObject)]
pub struct Reaction {
    pub emoji: String,
    pub count: i32,
    pub viewer_reacted: bool,
}

impl From<&Counted> for Reaction {
    fn from(counted: &Counted) -> Self {
        let Counted { emoji, count, by_viewer } = counted;
        let count = i32::try_from(*count).unwrap_or(i32::MAX);
        Self { emoji: emoji.clone(), count, viewer_reacted: *by_viewer }
    }
}

#[derive(SimpleObject)]
pub struct MessagePayload {
    pub message: Message,
    pub conversation: Conversation,
}

#[derive(SimpleObject)]
pub struct ConversationPayload {
    pub conversation: Conversation,
}

/// The message as it is now.
async fn payload(ctx: &Context<'_>, id: MessageId) -> Result<Option<MessagePayload>, Error> {
    let row = ctx.loader().load_one(id).await?.ok_or(Error::NotFound("message"))?;
    let conversation = conversation::require(ctx, row.conversation()).await?;
    Ok(Some(MessagePayload { message: row.into(), conversation }))
}

#[derive(Default)]
pub struct MessageChangeMutation;

#[Object]
impl MessageChangeMutation {
    /// Changes the text of a message; for its sender only.
    async fn edit_message(&self, ctx: &Context<'_>, id: ID, text: String) -> Nullable<MessagePayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let id = MessageId::parse("id", &id)?;
            ctx.domain().edit_message(viewer, id, &text).await?;
            payload(ctx, id).await
        })
        .await
    }

    /// Deletes a message; for its sender only. Its `seq` stays, with `isDeleted` and no content.
    async fn delete_message(&self, ctx: &Context<'_>, id: ID) -> Nullable<MessagePayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let id = MessageId::parse("id", &id)?;
            ctx.domain().delete_message(viewer, id).await?;
            payload(ctx, id).await
        })
        .await
    }

    /// Adds or removes a reaction of the viewer; at most 5 different ones per message.
    async fn react_to_message(
        &self,
        ctx: &Context<'_>,
        id: ID,
        emoji: String,
        on: bool,
    ) -> Nullable<MessagePayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let id = MessageId::parse("id", &id)?;
            ctx.domain().react_to_message(viewer, id, Emoji::parse("emoji", &emoji)?, on).await?;
            payload(ctx, id).await
        })
        .await
    }

    /// Marks messages as read, up to and including the one with this `seq`. The marker never moves back.
    async fn mark_conversation_read(
        &self,
        ctx: &Context<'_>,
        id: ID,
        seq: i32,
    ) -> Nullable<ConversationPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let id = ConversationId::parse("id", &id)?;
            ctx.domain().mark_conversation_read(viewer, id, seq).await?;
            Ok(Some(ConversationPayload { conversation: conversation::require(ctx, id).await? }))
        })
        .await
    }
}
