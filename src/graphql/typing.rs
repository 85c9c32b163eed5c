//! Saying that one is typing.

use async_graphql::{Context, ID, Object};

use super::account::OkPayload;
use super::context::ContextExt;
use super::nullable::{Nullable, nullable};
use crate::model::id::ConversationId;

#[derive(Default)]
pub struct TypingMutation;

#[Object]
impl TypingMutation {
    /// Informs the subscribers of the conversation. Call it again while the viewer is typing.
    async fn set_typing(&self, ctx: &Context<'_>, conversation_id: ID) -> Nullable<OkPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let id = ConversationId::parse("conversationId", &conversation_id)?;
            ctx.domain().set_typing(viewer, id).await?;
            Ok(Some(OkPayload { ok: true }))
        })
        .await
    }
}
