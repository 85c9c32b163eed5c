//! Conversations and messages.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Enum, ID, Object, Result, SimpleObject, Value};
use time::OffsetDateTime;
use tokio::sync::OnceCell;

use super::context::ContextExt;
use super::message::Message;
use super::nullable::{Nullable, nullable};
use super::page::{Connection, DEFAULT_PAGE, Extra, forward};
use super::post::{self, Post};
use super::scalar::{Cursor, DateTime};
use super::user::{self, User};
use crate::domain::conversation::list::{Listed, Wanted};
use crate::domain::viewer::Viewer;
use crate::model::Error;
use crate::model::id::{ConversationId, UserId};
use crate::model::page::{List, Page};
use crate::store::inbox;
use crate::store::member::{FirstMembers, Markers, Member};
use crate::store::message::LastMessage;
use crate::store::{conversation, message};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::model::conversation::ConversationKind")]
pub enum ConversationKind {
    Direct,
    Group,
    Post,
}

pub struct Conversation {
    row: Arc<conversation::Model>,
    /// What was read together with it, where it is one of a list.
    listed: Option<Box<Listed>>,
    /// Read once, so that all that is said of it agrees.
    last: OnceCell<Option<Arc<message::Model>>>,
}

impl From<Arc<conversation::Model>> for Conversation {
    fn from(row: Arc<conversation::Model>) -> Self {
        Self { row, listed: None, last: OnceCell::new() }
    }
}

impl From<Listed> for Conversation {
    fn from(listed: Listed) -> Self {
        let last = OnceCell::new_with(listed.last_message.clone());
        Self { row: listed.conversation.clone(), listed: Some(Box::new(listed)), last }
    }
}

/// The conversation, if the viewer may read it.
pub async fn load(ctx: &Context<'_>, id: ConversationId) -> Result<Option<Conversation>, Error> {
    match ctx.domain().require_conversation(ctx.viewer(), id).await {
        Ok(row) => Ok(Some(row.into())),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The same; an error where there is none.
pub async fn require(ctx: &Context<'_>, id: ConversationId) -> Result<Conversation, Error> {
    load(ctx, id).await?.ok_or(Error::NotFound("conversation"))
}

/// A direct conversation, a group, or the message thread of a post.
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

    /// The post to which the thread belongs; null for other conversations.
    async fn post(&self, ctx: &Context<'_>) -> Nullable<Post> {
        nullable(async {
            if let Some(post) = self.listed.as_ref().and_then(|listed| listed.post.clone()) {
                return Ok(Some(post.into()));
            }
            let Some(id) = self.row.post() else { return Ok(None) };
            post::load(ctx, id).await
        })
        .await
    }

    /// The members. In the thread of a post: those who have written to it.
    async fn members(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<Cursor>,
    ) -> Nullable<Connection<User>> {
        nullable(async {
            let page = forward(List::Members, first, after.as_ref())?;
            let id = self.row.id();
            let (first, people) = match &self.listed {
                Some(listed) => (listed.members.clone(), listed.people.clone()),
                None => (None, Arc::default()),
            };
            let first = match first {
                None if page.after.is_none() => ctx.loader().load_one(FirstMembers(id)).await?,
                first => first,
            };
            let first = first.as_deref().map_or(&[][..], Vec::as_slice);
            let members = ctx.domain().members(ctx.viewer(), id, &page, first, &people).await?;
            Ok(Some(Connection::filled(ctx, List::Members, members)))
        })
        .await
    }

    async fn last_message(&self, ctx: &Context<'_>) -> Nullable<Message> {
        nullable(async {
            let message = self.last(ctx).await?.cloned().map(Message::from);
            Ok(match &self.listed {
                Some(listed) => message.map(|message| message.sent_by(&listed.people)),
                None => message,
            })
        })
        .await
    }

    /// How many messages the viewer has not read; null if the viewer is not a member, or the viewer's shard can't be
    /// read.
    async fn unread_count(&self, ctx: &Context<'_>) -> Nullable<i32> {
        nullable(async { Ok(self.entry(ctx).await?.map(|entry| entry.unread())) }).await
    }

    async fn last_read_seq(&self, ctx: &Context<'_>) -> Nullable<i32> {
        nullable(async { Ok(self.entry(ctx).await?.map(|entry| entry.read_seq)) }).await
    }

    async fn is_archived(&self, ctx: &Context<'_>) -> Nullable<bool> {
        nullable(async { Ok(self.entry(ctx).await?.map(|entry| entry.is_archived)) }).await
    }

    /// Whether the viewer gets no notifications of its messages.
    async fn is_muted(&self, ctx: &Context<'_>) -> Nullable<bool> {
        nullable(async { Ok(self.entry(ctx).await?.map(|entry| entry.is_muted)) }).await
    }

    /// How far the members have read, for those who have marked messages as read. Direct and group conversations only.
    async fn read_markers(&self, ctx: &Context<'_>) -> Nullable<Vec<ReadMarker>> {
        nullable(async {
            if self.row.post().is_some() {
                return Ok(None);
            }
            let members = ctx.loader().load_one(Markers(self.row.id())).await?.unwrap_or_default();
            let shown = user::visible(ctx, members.iter().map(Member::user)).await?;
            let markers = members
                .iter()
                .filter(|member| shown.contains(&member.user()))
                .filter_map(|member| Some(ReadMarker::new(member.user(), member.read_seq, member.read_at?)));
            Ok(Some(markers.collect()))
        })
        .await
    }

    /// The messages in the order of `seq`; without `first` and `last`, the last 20.
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
        let slice = slice.map(|(place, row)| (place, Some(Message::from(Arc::new(row)))));
        Ok(Connection::new(List::Messages, slice))
    }
}

impl Conversation {
    async fn entry(&self, ctx: &Context<'_>) -> Result<Option<Arc<inbox::Model>>, Error> {
        if let Some(listed) = &self.listed {
            return Ok(Some(listed.entry.clone()));
        }
        let Some(viewer) = ctx.viewer() else { return Ok(None) };
        let last = self.last(ctx).await?.map(|last| &**last);
        ctx.domain().conversation_entry(viewer, self.row.id(), last).await
    }

    async fn last(&self, ctx: &Context<'_>) -> Result<Option<&Arc<message::Model>>, Error> {
        let load = || ctx.loader().load_one(LastMessage(self.row.id()));
        Ok(self.last.get_or_try_init(load).await?.as_ref())
    }
}

/// How far a member has read.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct ReadMarker {
    #[graphql(skip)]
    reader: UserId,
    /// The `seq` of the last message that was read.
    seq: i32,
    at: DateTime,
}

impl ReadMarker {
    pub fn new(reader: UserId, seq: i32, at: OffsetDateTime) -> Self {
        Self { reader, seq, at: at.into() }
    }
}

#[ComplexObject]
impl ReadMarker {
    async fn user(&self, ctx: &Context<'_>) -> Nullable<User> {
        nullable(async { user::load(ctx, self.reader).await }).await
    }
}

#[derive(Default)]
pub struct ConversationQuery;

#[Object]
impl ConversationQuery {
    /// A conversation of which the viewer is a member, or the thread of a post that the viewer may see.
    async fn conversation(&self, ctx: &Context<'_>, id: ID) -> Nullable<Conversation> {
        nullable(async {
            let id = ConversationId::parse("id", &id)?;
            load(ctx, id).await
        })
        .await
    }
}

/// What a list of conversations says beside them.
#[derive(SimpleObject)]
pub struct Inbox {
    /// How many conversations of the list have unread messages, including those on other pages.
    unread_count: i32,
}

impl Extra for Inbox {}

pub type ConversationConnection = Connection<Conversation, Inbox>;

/// The viewer's conversations, the one with the newest message first.
pub async fn of_viewer(
    ctx: &Context<'_>,
    viewer: &Viewer,
    first: Option<i32>,
    after: Option<&Cursor>,
    archived: bool,
) -> Result<ConversationConnection, Error> {
    let page = forward(List::Conversations, first, after)?;
    let found = ctx.domain().conversations(viewer, &page, archived, wanted(ctx)).await?;
    let unread_count = i32::try_from(found.unread).unwrap_or(i32::MAX);
    let inbox = Inbox { unread_count };
    Ok(Connection::filled_with(ctx, List::Conversations, found.page, inbox))
}

/// What is asked for of each conversation, so that it is read for all of them together.
fn wanted(ctx: &Context<'_>) -> Wanted {
    let list = ctx.look_ahead();
    let nodes = [list.field("nodes"), list.field("edges").field("node")];
    let last_message = nodes.iter().any(|node| node.field("lastMessage").exists());
    let members = nodes.iter().flat_map(|node| node.field("members").selection_fields());
    let members = members.map(|field| {
        let arguments = field.arguments().unwrap_or_default();
        let first = arguments.iter().find(|(name, _)| name == "first").map(|(_, value)| value);
        match first {
            Some(Value::Number(first)) => first.as_u64().and_then(|first| usize::try_from(first).ok()),
            _ => usize::try_from(DEFAULT_PAGE).ok(),
        }
    });
    Wanted { last_message, members: members.flatten().max().unwrap_or(0) }
}
