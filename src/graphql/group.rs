//! Starting conversations, who takes part in them, and what each keeps of them.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::context::ContextExt;
use super::conversation::{self, Conversation};
use super::message_change::ConversationPayload;
use super::nullable::{Nullable, nullable};
use crate::domain::conversation::group::NewConversation;
use crate::model::Error;
use crate::model::conversation::MAX_MEMBERS;
use crate::model::id::{ConversationId, UserId};
use crate::model::idempotency::IdempotencyKey;
use crate::store::inbox::Flags;

#[derive(Debug, InputObject)]
pub struct StartConversationInput {
    idempotency_key: ID,
    /// The other members, at most 255. A single one without a title stands for the direct conversation with that user.
    member_ids: Vec<ID>,
    /// At most 100 characters.
    title: Option<String>,
}

impl StartConversationInput {
    fn parse(&self) -> Result<(IdempotencyKey, NewConversation), Error> {
        let key = IdempotencyKey::parse("input.idempotencyKey", &self.idempotency_key)?;
        // The count first: a list of any length is not worth reading.
        let most = usize::try_from(MAX_MEMBERS).unwrap_or(usize::MAX);
        let members = self.member_ids.iter().take(most).map(|id| UserId::parse("input.memberIds", id));
        let members = members.collect::<Result<Vec<_>, _>>()?;
        Ok((key, NewConversation::parse(&members, self.title.as_deref())?))
    }
}

#[derive(SimpleObject)]
pub struct StartConversationPayload {
    conversation: Conversation,
    /// Whether an earlier request with the same key started the conversation.
    replayed: bool,
}

#[derive(Default)]
pub struct GroupMutation;

#[Object]
impl GroupMutation {
    async fn start_conversation(
        &self,
        ctx: &Context<'_>,
        input: StartConversationInput,
    ) -> Nullable<StartConversationPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let (key, new) = input.parse()?;
            let started = ctx.domain().start_conversation(viewer, key, &new).await?;
            let conversation = conversation::require(ctx, started.id).await?;
            Ok(Some(StartConversationPayload { conversation, replayed: started.replayed }))
        })
        .await
    }

    /// Adds a user to a group, or removes one. Every member may add others and leave; the member who joined first may
    /// remove others. In the thread of a post, users add and remove only themselves. Null if the viewer has left.
    async fn set_conversation_member(
        &self,
        ctx: &Context<'_>,
        id: ID,
        user_id: ID,
        member: bool,
    ) -> Nullable<ConversationPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let id = ConversationId::parse("id", &id)?;
            let user = UserId::parse("userId", &user_id)?;
            ctx.domain().set_conversation_member(viewer, id, user, member).await?;
            let conversation = conversation::load(ctx, id).await?;
            Ok(conversation.map(|conversation| ConversationPayload { conversation }))
        })
        .await
    }

    /// Archives or mutes a conversation for the viewer alone. Null leaves a flag unchanged.
    async fn set_conversation_flags(
        &self,
        ctx: &Context<'_>,
        id: ID,
        archived: Option<bool>,
        muted: Option<bool>,
    ) -> Nullable<ConversationPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let id = ConversationId::parse("id", &id)?;
            ctx.domain().set_conversation_flags(viewer, id, Flags { archived, muted }).await?;
            Ok(Some(ConversationPayload { conversation: conversation::require(ctx, id).await? }))
        })
        .await
    }
}
