//! Notifications.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject, Union};

use super::comment::{self, Comment};
use super::context::ContextExt;
use super::conversation;
use super::message::Message;
use super::nullable::{Nullable, nullable};
use super::page::{Connection, Extra, forward};
use super::post::{self, Post};
use super::scalar::{Cursor, DateTime};
use super::user::{self, User};
use crate::domain::notification::MAX_ACTORS;
use crate::domain::viewer::Viewer;
use crate::model::Error;
use crate::model::id::{self, CommentId, ConversationId, NotificationId, PostId, UserId};
use crate::model::notification::Kind;
use crate::model::page::{List, Place};
use crate::store::message::LastMessage;
use crate::store::notification::{ActorsOf, Model, UnreadOf};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "Kind")]
pub enum NotificationKind {
    Like,
    Comment,
    Reply,
    Mention,
    Follow,
    Message,
}

/// What a notification is about: the liked or commented post, the comment that answers or mentions, the
/// conversation's last message; for a follow the account that is followed.
#[derive(Union)]
pub enum NotificationTarget {
    User(User),
    Post(Post),
    Comment(Comment),
    Message(Message),
}

impl NotificationTarget {
    /// The id says what it names.
    async fn load(ctx: &Context<'_>, target: uuid::Uuid) -> Result<Option<Self>, Error> {
        Ok(match id::Kind::of(target) {
            Some(id::Kind::User) => user::load(ctx, UserId::from_row(target)).await?.map(Self::User),
            Some(id::Kind::Post) => post::load(ctx, PostId::from_row(target)).await?.map(Self::Post),
            Some(id::Kind::Comment) => {
                comment::load(ctx, CommentId::from_row(target)).await?.map(Self::Comment)
            }
            Some(id::Kind::Conversation) => {
                last_message(ctx, ConversationId::from_row(target)).await?.map(Self::Message)
            }
            _ => None,
        })
    }
}

/// The last message of a conversation that the viewer may see.
async fn last_message(ctx: &Context<'_>, id: ConversationId) -> Result<Option<Message>, Error> {
    if conversation::load(ctx, id).await?.is_none() {
        return Ok(None);
    }
    Ok(ctx.loader().load_one(LastMessage(id)).await?.map(Message::from))
}

/// The viewer's notification; another's does not exist for the viewer.
pub async fn load(ctx: &Context<'_>, id: NotificationId) -> Result<Option<Notification>, Error> {
    Ok(ctx.loader().load_one(id).await?.map(Notification::new))
}

/// Something that people did which concerns the viewer; likes of one post, for example, are one
/// notification.
#[derive(Clone)]
pub struct Notification(Arc<Model>);

impl Notification {
    pub fn new(row: Arc<Model>) -> Self {
        Self(row)
    }

    async fn newest_actors(&self, ctx: &Context<'_>) -> Result<Arc<Vec<UserId>>, Error> {
        Ok(ctx.loader().load_one(ActorsOf(self.0.id())).await?.unwrap_or_default())
    }

    fn stored_kind(&self) -> Result<Kind, Error> {
        Kind::from_column(self.0.kind)
            .ok_or_else(|| Error::internal(anyhow::anyhow!("a notification of kind {}", self.0.kind)))
    }
}

/// What happened to the viewer, once for all who did it.
#[Object]
impl Notification {
    pub async fn id(&self) -> ID {
        self.0.id.into()
    }

    #[expect(clippy::unused_async, reason = "a resolver is async")]
    async fn kind(&self) -> Result<NotificationKind> {
        Ok(self.stored_kind()?.into())
    }

    /// Who did it, the newest first; 1 to 10.
    async fn actors(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 3)] first: Option<i32>,
    ) -> Result<Vec<Option<User>>> {
        let max = MAX_ACTORS;
        let first = usize::try_from(first.unwrap_or(3)).ok().filter(|first| (1..=max).contains(first));
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        let first = first.ok_or(Error::PageSizeInvalid { field: "first", max })?;
        let actors = self.newest_actors(ctx).await?;
        Ok(user::load_many(ctx, actors.iter().take(first).copied().collect()).await?)
    }

    /// How many people did it.
    async fn actor_count(&self) -> i32 {
        self.0.actor_count
    }

    /// What it is about; null when it is gone.
    async fn target(&self, ctx: &Context<'_>) -> Nullable<NotificationTarget> {
        nullable(async { NotificationTarget::load(ctx, self.0.target_id).await }).await
    }

    /// A sentence in English; null when who did it can't be read.
    async fn text(&self, ctx: &Context<'_>) -> Nullable<String> {
        nullable(async {
            let Some(actor) = self.newest_actors(ctx).await?.first().copied() else { return Ok(None) };
            let kind = self.stored_kind()?;
            let row = ctx.loader().load_one(actor).await?;
            Ok(row.map(|row| sentence(&row.username, self.0.actor_count, kind, self.0.target_id)))
        })
        .await
    }

    async fn is_read(&self) -> bool {
        self.0.is_read
    }

    async fn created_at(&self) -> DateTime {
        self.0.created_at.into()
    }

    /// When somebody did it last.
    async fn updated_at(&self) -> DateTime {
        self.0.updated_at.into()
    }
}

fn sentence(username: &str, actors: i32, kind: Kind, target: uuid::Uuid) -> String {
    let who = match actors {
        ..=1 => username.to_owned(),
        2 => format!("{username} and 1 other"),
        _ => format!("{username} and {} others", actors - 1),
    };
    let did = match kind {
        Kind::Like => "liked your post",
        Kind::Comment => "commented on your post",
        Kind::Reply => "replied to your comment",
        Kind::Mention if id::Kind::of(target) == Some(id::Kind::Post) => "mentioned you in a post",
        Kind::Mention => "mentioned you in a comment",
        Kind::Follow => "followed you",
        Kind::Message => "sent you a message",
    };
    format!("{who} {did}.")
}

/// What a page of notifications says beside them.
pub struct NotificationExtra {
    user: UserId,
}

#[Object]
impl NotificationExtra {
    /// How many are not read, of all kinds.
    async fn unread_count(&self, ctx: &Context<'_>) -> Result<i32> {
        Ok(ctx.loader().load_one(UnreadOf(self.user)).await?.map_or(0, |count| *count))
    }
}

impl Extra for NotificationExtra {}

pub type NotificationConnection = Connection<Notification, NotificationExtra>;

/// A page of the viewer's notifications, those in which somebody acted last first.
pub async fn of_viewer(
    ctx: &Context<'_>,
    viewer: &Viewer,
    first: Option<i32>,
    after: Option<&Cursor>,
    kinds: Option<Vec<NotificationKind>>,
) -> Result<NotificationConnection, Error> {
    let page = forward(List::Notifications, first, after)?;
    let kinds: Option<Vec<Kind>> = kinds.map(|kinds| kinds.into_iter().map(Kind::from).collect());
    let rows = ctx.domain().notifications(viewer, &page, kinds.as_deref()).await?;
    let place = |row: &Model| Place::moment(row.updated_at, row.id);
    let rows = rows.map(|row| (place(&row), Some(Notification::new(Arc::new(row)))));
    Ok(Connection::with(List::Notifications, rows, NotificationExtra { user: viewer.user }))
}

#[derive(SimpleObject)]
pub struct NotificationPayload {
    /// The one that was marked, where it was one.
    notification: Option<Notification>,
    unread_count: i32,
}

#[derive(Default)]
pub struct NotificationMutation;

#[Object]
impl NotificationMutation {
    async fn mark_notification_as_read(&self, ctx: &Context<'_>, id: ID) -> Nullable<NotificationPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let id = NotificationId::parse("id", &id)?;
            let (row, unread_count) = ctx.domain().mark_notification_read(viewer, id).await?;
            Ok(Some(NotificationPayload { notification: Some(Notification::new(row)), unread_count }))
        })
        .await
    }

    /// All, or with `upTo` the one with this cursor and the older ones.
    async fn mark_all_notifications_as_read(
        &self,
        ctx: &Context<'_>,
        up_to: Option<Cursor>,
    ) -> Nullable<NotificationPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let up_to = up_to.as_ref().map(|cursor| cursor.0.as_str());
            let unread_count = ctx.domain().mark_all_notifications_read(viewer, up_to).await?;
            Ok(Some(NotificationPayload { notification: None, unread_count }))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Clock;
    use crate::model::id::Slot;

    #[test]
    fn sentences_count_the_others() {
        let post = PostId::make(&Clock::system(), Slot::random()).uuid();
        assert_eq!(sentence("ana", 1, Kind::Like, post), "ana liked your post.");
        assert_eq!(sentence("ana", 2, Kind::Follow, post), "ana and 1 other followed you.");
        assert_eq!(sentence("ana", 9, Kind::Mention, post), "ana and 8 others mentioned you in a post.");
    }
}
