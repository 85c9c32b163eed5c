//! Messages, and how they are sent.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, ID, InputObject, Object, OneofObject, Result, SimpleObject};
use uuid::Uuid;

use super::context::ContextExt;
use super::conversation::{self, Conversation};
use super::media::{self, Media};
use super::message_change::Reaction;
use super::nullable::{Nullable, nullable};
use super::post::{self, Post};
use super::scalar::DateTime;
use super::user::{self, User};
use crate::domain::conversation::list::People;
use crate::domain::conversation::message::{MAX_MEDIA, NewMessage, Target};
use crate::model::Error;
use crate::model::id::{ConversationId, MediaId, MessageId, PostId, UserId};
use crate::model::idempotency::IdempotencyKey;
use crate::store::reaction::ReactionsTo;
use crate::store::{message, user as accounts};

pub struct Message {
    row: Arc<message::Model>,
    /// Who sent it, where that was read together with it.
    sender: Option<Arc<accounts::Model>>,
}

impl From<Arc<message::Model>> for Message {
    fn from(row: Arc<message::Model>) -> Self {
        Self { row, sender: None }
    }
}

impl Message {
    /// With its sender, if that is one of these.
    #[must_use]
    pub fn sent_by(self, people: &People) -> Self {
        Self { sender: people.get(&self.row.sender()).cloned(), ..self }
    }
}

/// The message, if the viewer may read its conversation.
pub async fn load(ctx: &Context<'_>, id: MessageId) -> Result<Option<Message>, Error> {
    match ctx.domain().require_message(ctx.viewer(), id).await {
        Ok(row) => Ok(Some(row.into())),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A message in a conversation.
#[Object]
impl Message {
    pub async fn id(&self) -> ID {
        self.row.id.into()
    }

    async fn conversation(&self, ctx: &Context<'_>) -> Result<Conversation> {
        Ok(conversation::require(ctx, self.row.conversation()).await?)
    }

    /// The number of the message in its conversation: 1, 2, 3, … without gaps.
    async fn seq(&self) -> i32 {
        self.row.seq
    }

    /// The idempotency key with which it was sent. Only its sender sees it.
    async fn idempotency_key(&self, ctx: &Context<'_>) -> Option<ID> {
        let viewer = ctx.viewer()?;
        if viewer.user != self.row.sender() {
            return None;
        }
        self.row.idempotency_key.as_deref().map(ID::from)
    }

    async fn sender(&self, ctx: &Context<'_>) -> Nullable<User> {
        nullable(async {
            if let Some(sender) = &self.sender {
                return Ok(Some(sender.clone().into()));
            }
            user::load(ctx, self.row.sender()).await
        })
        .await
    }

    async fn text(&self) -> Option<&str> {
        self.row.text.as_deref()
    }

    async fn media(&self, ctx: &Context<'_>) -> Result<Vec<Media>> {
        let ids = self.row.media_ids.iter().copied().map(MediaId::from_row);
        Ok(media::load(ctx, ids.collect()).await?)
    }

    /// The post that was shared with the message; null if the viewer may not see it.
    async fn shared_post(&self, ctx: &Context<'_>) -> Nullable<Post> {
        nullable(async {
            let Some(id) = self.row.shared_post_id else { return Ok(None) };
            post::load(ctx, PostId::from_row(id)).await
        })
        .await
    }

    /// The message to which this one replies.
    async fn reply_to(&self, ctx: &Context<'_>) -> Nullable<Message> {
        nullable(async {
            let Some(id) = self.row.reply_to() else { return Ok(None) };
            Ok(ctx.loader().load_one(id).await?.map(Message::from))
        })
        .await
    }

    /// The most frequent first.
    async fn reactions(&self, ctx: &Context<'_>) -> Result<Vec<Reaction>> {
        let viewer = ctx.viewer().map_or(Uuid::nil(), |viewer| viewer.user.uuid());
        let counted = ctx.loader().load_one(ReactionsTo { message: self.row.id(), viewer }).await?;
        Ok(counted.iter().flat_map(|counted| counted.iter()).map(Reaction::from).collect())
    }

    async fn created_at(&self) -> DateTime {
        self.row.created_at.into()
    }

    async fn edited_at(&self) -> Option<DateTime> {
        self.row.edited_at.map(DateTime)
    }

    async fn is_deleted(&self) -> bool {
        self.row.deleted_at.is_some()
    }
}

/// Where to send a message.
#[derive(Debug, OneofObject)]
pub enum MessageTarget {
    ConversationId(ID),
    /// The direct conversation with this user, which is created if there is none.
    UserId(ID),
    /// The message thread of this post.
    PostId(ID),
}

impl MessageTarget {
    fn parse(&self) -> Result<Target, Error> {
        Ok(match self {
            Self::ConversationId(id) => {
                Target::Conversation(ConversationId::parse("input.to.conversationId", id)?)
            }
            Self::UserId(id) => Target::User(UserId::parse("input.to.userId", id)?),
            Self::PostId(id) => Target::Post(PostId::parse("input.to.postId", id)?),
        })
    }
}

#[derive(Debug, InputObject)]
pub struct SendMessageInput {
    idempotency_key: ID,
    to: MessageTarget,
    /// At most 4000 characters. Optional if images or a post are sent.
    text: Option<String>,
    /// At most 10 of the sender's images, all ready.
    media_ids: Option<Vec<ID>>,
    shared_post_id: Option<ID>,
    /// The message to reply to, from the same conversation.
    reply_to_id: Option<ID>,
}

impl SendMessageInput {
    fn parse(&self) -> Result<(IdempotencyKey, NewMessage), Error> {
        let key = IdempotencyKey::parse("input.idempotencyKey", &self.idempotency_key)?;
        // The count first: a list of any length is not worth reading.
        let media = self.media_ids.iter().flatten().take(MAX_MEDIA + 1);
        let message = NewMessage::parse(
            self.to.parse()?,
            self.text.as_deref(),
            media.map(|id| MediaId::parse("input.mediaIds", id)).collect::<Result<_, _>>()?,
            self.shared_post_id.as_ref().map(|id| PostId::parse("input.sharedPostId", id)).transpose()?,
            self.reply_to_id.as_ref().map(|id| MessageId::parse("input.replyToId", id)).transpose()?,
        )?;
        Ok((key, message))
    }
}

#[derive(SimpleObject)]
#[graphql(complex)]
pub struct SendMessagePayload {
    #[graphql(skip)]
    row: Arc<message::Model>,
    /// Whether an earlier request with the same key sent the message.
    replayed: bool,
}

#[ComplexObject]
impl SendMessagePayload {
    async fn message(&self) -> Message {
        self.row.clone().into()
    }

    async fn conversation(&self, ctx: &Context<'_>) -> Result<Conversation> {
        Ok(conversation::require(ctx, self.row.conversation()).await?)
    }
}

#[derive(Default)]
pub struct MessageMutation;

#[Object]
impl MessageMutation {
    async fn send_message(&self, ctx: &Context<'_>, input: SendMessageInput) -> Nullable<SendMessagePayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let (key, message) = input.parse()?;
            let sent = ctx.domain().send_message(viewer, key, message).await?;
            let row = ctx.loader().load_one(sent.id).await?.ok_or(Error::NotFound("message"))?;
            Ok(Some(SendMessagePayload { row, replayed: sent.replayed }))
        })
        .await
    }
}
