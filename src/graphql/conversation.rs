//! Conversations and messages.

use std::sync::Arc;

use async_graphql::{
    ComplexObject, Context, Enum, ID, InputObject, Object, OneofObject, Result, SimpleObject,
};
use uuid::Uuid;

use super::context::ContextExt;
use super::error::tell_beside;
use super::media::{self, Media};
use super::message_change::Reaction;
use super::nullable::{Nullable, nullable};
use super::page::{Connection, Extra, forward};
use super::post::{self, Post};
use super::scalar::{Cursor, DateTime};
use super::user::{self, User};
use crate::domain::Error;
use crate::domain::account::Viewer;
use crate::domain::id::{ConversationId, MediaId, MessageId, PostId, UserId};
use crate::domain::message::{MAX_MEDIA, NewMessage, Target};
use crate::domain::page::{List, Page};
use crate::domain::text::IdempotencyKey;
use crate::store::conversation::{self, FirstMembers};
use crate::store::inbox::{self, Entry};
use crate::store::message::{self, LastMessage};
use crate::store::reaction::ReactionsTo;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::domain::conversation::ConversationKind")]
pub enum ConversationKind {
    Direct,
    Group,
    Post,
}

pub struct Conversation {
    pub row: Arc<conversation::Model>,
}

/// The conversation, if the viewer may read it.
pub async fn load(ctx: &Context<'_>, id: ConversationId) -> Result<Option<Conversation>, Error> {
    match ctx.domain().require_conversation(ctx.viewer(), id).await {
        Ok(row) => Ok(Some(Conversation { row })),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The message, if the viewer may read its conversation.
pub async fn load_message(ctx: &Context<'_>, id: MessageId) -> Result<Option<Message>, Error> {
    match ctx.domain().require_message(ctx.viewer(), id).await {
        Ok(row) => Ok(Some(Message { row })),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A direct, group or per-post conversation.
#[Object]
impl Conversation {
    pub async fn id(&self) -> ID {
        self.row.id.into()
    }

    async fn kind(&self) -> ConversationKind {
        self.row.kind().into()
    }

    async fn title(&self) -> Option<&str> {
        self.row.title.as_deref()
    }

    /// The post that the thread is about.
    async fn post(&self, ctx: &Context<'_>) -> Nullable<Post> {
        nullable(async {
            let Some(id) = self.row.post() else { return Ok(None) };
            post::load(ctx, id).await
        })
        .await
    }

    /// Who takes part; in the thread of a post, who wrote to it.
    async fn members(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<Cursor>,
    ) -> Nullable<Connection<User>> {
        nullable(async {
            let page = forward(List::Members, first, after.as_ref())?;
            let id = self.row.id();
            let slice = if page.after.is_none() {
                let members = ctx.loader().load_one(FirstMembers(id)).await?;
                crate::domain::conversation::first_members(
                    members.as_deref().map_or(&[], Vec::as_slice),
                    &page,
                )
            } else {
                ctx.domain().members(id, &page).await?
            };
            Ok(Some(user::connection(ctx, List::Members, slice).await?))
        })
        .await
    }

    async fn last_message(&self, ctx: &Context<'_>) -> Nullable<Message> {
        nullable(async {
            let row = ctx.loader().load_one(LastMessage(self.row.id())).await?;
            Ok(row.map(|row| Message { row }))
        })
        .await
    }

    /// How many messages the viewer has not read; null when the viewer's shard can't be read or the
    /// viewer takes no part.
    async fn unread_count(&self, ctx: &Context<'_>) -> Nullable<i32> {
        nullable(async { Ok(self.entry(ctx).await?.map(|entry| entry.unread())) }).await
    }

    async fn last_read_seq(&self, ctx: &Context<'_>) -> Nullable<i32> {
        nullable(async { Ok(self.entry(ctx).await?.map(|entry| entry.read_seq)) }).await
    }

    /// The messages in the order of their numbers; with neither `first` nor `last`, the last 20.
    async fn messages(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<Cursor>,
        last: Option<i32>,
        before: Option<Cursor>,
    ) -> Result<Connection<Message>> {
        let (after, before) = (after.map(|cursor| cursor.0), before.map(|cursor| cursor.0));
        let (ahead, back) = ((first, after.as_deref()), (last, before.as_deref()));
        let page = Page::parse_both(List::Messages, ahead, back, 20)?;
        let slice = ctx.domain().messages(self.row.id(), &page).await?;
        let slice = slice.map(|(place, row)| (place, Some(Message { row: Arc::new(row) })));
        Ok(Connection::new(List::Messages, slice))
    }
}

impl Conversation {
    async fn entry(&self, ctx: &Context<'_>) -> Result<Option<Arc<inbox::Model>>, Error> {
        let Some(viewer) = ctx.viewer() else { return Ok(None) };
        let entry = Entry { user: viewer.user, conversation: self.row.id() };
        ctx.loader().load_one(entry).await
    }
}

pub struct Message {
    pub row: Arc<message::Model>,
}

/// A message in a conversation.
#[Object]
impl Message {
    pub async fn id(&self) -> ID {
        self.row.id.into()
    }

    async fn conversation(&self, ctx: &Context<'_>) -> Result<Conversation> {
        let row = ctx.loader().load_one(self.row.conversation()).await?;
        Ok(Conversation { row: row.ok_or(Error::NotFound("conversation"))? })
    }

    /// 1, 2, 3, … within its conversation, without holes
    async fn seq(&self) -> i32 {
        self.row.seq
    }

    /// The key under which it was sent; for its sender only.
    async fn idempotency_key(&self, ctx: &Context<'_>) -> Option<ID> {
        let viewer = ctx.viewer()?;
        if viewer.user != self.row.sender() {
            return None;
        }
        self.row.idempotency_key.as_deref().map(ID::from)
    }

    async fn sender(&self, ctx: &Context<'_>) -> Nullable<User> {
        nullable(async {
            let row = ctx.loader().load_one(self.row.sender()).await?;
            Ok(row.map(|row| User { row }))
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

    /// The post that was sent along; null where the viewer may not see it.
    async fn shared_post(&self, ctx: &Context<'_>) -> Nullable<Post> {
        nullable(async {
            let Some(id) = self.row.shared_post_id else { return Ok(None) };
            post::load(ctx, PostId::from_row(id)).await
        })
        .await
    }

    /// The message that it answers.
    async fn reply_to(&self, ctx: &Context<'_>) -> Nullable<Message> {
        nullable(async {
            let Some(id) = self.row.reply_to() else { return Ok(None) };
            Ok(ctx.loader().load_one(id).await?.map(|row| Message { row }))
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

/// Where a message goes.
#[derive(Debug, OneofObject)]
pub enum MessageTarget {
    ConversationId(ID),
    /// The direct conversation with this user, which is started where there is none.
    UserId(ID),
    /// The thread of this post.
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
    /// At most 4000 characters; may be left out where images or a post are sent.
    text: Option<String>,
    /// At most 10 images of the sender's, all ready.
    media_ids: Option<Vec<ID>>,
    shared_post_id: Option<ID>,
    /// A message of the same conversation.
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
    /// Whether an earlier request with the same key had sent it.
    replayed: bool,
}

#[ComplexObject]
impl SendMessagePayload {
    async fn message(&self) -> Message {
        Message { row: self.row.clone() }
    }

    async fn conversation(&self, ctx: &Context<'_>) -> Result<Conversation> {
        let row = ctx.loader().load_one(self.row.conversation()).await?;
        Ok(Conversation { row: row.ok_or(Error::NotFound("conversation"))? })
    }
}

#[derive(Default)]
pub struct ConversationQuery;

#[Object]
impl ConversationQuery {
    /// A conversation that the viewer takes part in, or the thread of a post that the viewer may see.
    async fn conversation(&self, ctx: &Context<'_>, id: ID) -> Nullable<Conversation> {
        nullable(async {
            let id = ConversationId::parse("id", &id)?;
            load(ctx, id).await
        })
        .await
    }
}

#[derive(Default)]
pub struct ConversationMutation;

#[Object]
impl ConversationMutation {
    async fn send_message(&self, ctx: &Context<'_>, input: SendMessageInput) -> Nullable<SendMessagePayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let (key, message) = input.parse()?;
            let sent = ctx.domain().send_message(viewer, key, &message).await?;
            let row = ctx.loader().load_one(sent.id).await?.ok_or(Error::NotFound("message"))?;
            Ok(Some(SendMessagePayload { row, replayed: sent.replayed }))
        })
        .await
    }
}

/// What a list of conversations says beside them.
pub struct Inbox {
    viewer: Viewer,
}

#[Object]
impl Inbox {
    /// In how many conversations there is something unread, on this page or not.
    async fn unread_count(&self, ctx: &Context<'_>) -> Result<i32> {
        let count = ctx.domain().unread_conversations(&self.viewer).await?;
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }
}

impl Extra for Inbox {}

pub type ConversationConnection = Connection<Conversation, Inbox>;

/// The viewer's conversations, the one with the newest message first.
pub async fn of_viewer(
    ctx: &Context<'_>,
    viewer: &Viewer,
    first: Option<i32>,
    after: Option<&Cursor>,
) -> Result<ConversationConnection, Error> {
    let page = forward(List::Conversations, first, after)?;
    let (slice, away) = ctx.domain().conversations(viewer, &page).await?;
    tell_beside(ctx, away);
    let slice = slice.map(|(place, row)| (place, row.map(|row| Conversation { row })));
    Ok(Connection::with(List::Conversations, slice, Inbox { viewer: viewer.clone() }))
}
