//! Notifications.

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject, Union};

use super::comment::Comment;
use super::context::ContextExt;
use super::message::Message;
use super::nullable::{Nullable, nullable};
use super::page::{Connection, Extra, forward};
use super::post::Post;
use super::scalar::{Cursor, DateTime};
use super::user::{self, User};
use crate::domain::notification::MAX_ACTORS;
use crate::domain::notification_list::{Shown, Target};
use crate::domain::viewer::Viewer;
use crate::model::Error;
use crate::model::id::{self, NotificationId};
use crate::model::notification::Kind;
use crate::model::page::List;
use crate::store::notification::Model;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "Kind")]
pub enum NotificationKind {
    Like,
    Comment,
    Reply,
    Mention,
    Follow,
    FollowRequest,
    FollowAccepted,
    Message,
}

/// What a notification is about: the post that was liked or commented on, the comment that replies or mentions, the
/// last message of the conversation, or the account that was followed.
#[derive(Union)]
pub enum NotificationTarget {
    User(User),
    Post(Post),
    Comment(Comment),
    Message(Message),
}

impl From<Target> for NotificationTarget {
    fn from(target: Target) -> Self {
        match target {
            Target::User(row) => Self::User(row.into()),
            Target::Post(seen) => Self::Post(seen.into()),
            Target::Comment(row) => Self::Comment(row.into()),
            Target::Message(row) => Self::Message(row.into()),
        }
    }
}

/// The viewer's notification; another's does not exist for the viewer.
pub async fn load(ctx: &Context<'_>, id: NotificationId) -> Result<Option<Notification>, Error> {
    let Some(viewer) = ctx.viewer() else { return Ok(None) };
    Ok(ctx.domain().notification(viewer, id).await?.map(Notification::from))
}

/// Something that people did which concerns the viewer; likes of one post, for example, are one
/// notification.
#[derive(Clone)]
pub struct Notification {
    shown: Box<Shown>,
}

impl From<Shown> for Notification {
    fn from(shown: Shown) -> Self {
        Self { shown: Box::new(shown) }
    }
}

impl Notification {
    fn row(&self) -> &Model {
        &self.shown.row
    }

    fn stored_kind(&self) -> Result<Kind, Error> {
        let kind = self.row().kind;
        Kind::from_column(kind)
            .ok_or_else(|| Error::internal(anyhow::anyhow!("a notification of kind {kind}")))
    }
}

/// A notification of the viewer. It covers everybody who did the same thing.
#[Object]
impl Notification {
    pub async fn id(&self) -> ID {
        self.row().id.into()
    }

    #[expect(clippy::unused_async, reason = "a resolver is async")]
    async fn kind(&self) -> Result<NotificationKind> {
        Ok(self.stored_kind()?.into())
    }

    /// Who did it, the newest first. `first` is 1 to 10.
    async fn actors(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 3)] first: Option<i32>,
    ) -> Result<Vec<Option<User>>> {
        let max = MAX_ACTORS;
        let first = usize::try_from(first.unwrap_or(3)).ok().filter(|first| (1..=max).contains(first));
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        let first = first.ok_or(Error::PageSizeInvalid { field: "first", max })?;
        let mut actors = user::load_many(ctx, self.shown.actors.to_vec()).await?;
        actors.truncate(first);
        Ok(actors)
    }

    /// How many people did it.
    async fn actor_count(&self) -> i32 {
        self.row().actor_count
    }

    /// What it is about; null if that can't be read at the moment.
    async fn target(&self) -> Nullable<NotificationTarget> {
        nullable(async { Ok(Some(self.shown.target.clone()?.into())) }).await
    }

    /// A sentence in English; null if the actors can't be read at the moment.
    async fn text(&self) -> Nullable<String> {
        nullable(async {
            let (kind, newest) = (self.stored_kind()?, self.shown.newest.clone()?);
            let row = self.row();
            Ok(Some(sentence(&newest.username, row.actor_count, kind, row.target_id)))
        })
        .await
    }

    async fn is_read(&self) -> bool {
        self.row().is_read
    }

    async fn created_at(&self) -> DateTime {
        self.row().created_at.into()
    }

    /// When the newest actor did it.
    async fn updated_at(&self) -> DateTime {
        self.row().updated_at.into()
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
        Kind::FollowRequest => "asked to follow you",
        Kind::FollowAccepted => "accepted your follow request",
        Kind::Message => "sent you a message",
    };
    format!("{who} {did}.")
}

/// What a page of notifications says beside them.
pub struct NotificationExtra {
    viewer: Viewer,
}

#[Object]
impl NotificationExtra {
    /// How many notifications are unread, of all kinds.
    async fn unread_count(&self, ctx: &Context<'_>) -> Result<i32> {
        Ok(ctx.domain().unread_notifications(&self.viewer).await?)
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
    Ok(Connection::filled_with(ctx, List::Notifications, rows, NotificationExtra { viewer: viewer.clone() }))
}

#[derive(SimpleObject)]
pub struct NotificationPayload {
    /// The notification that was marked, if it was a single one.
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
            let (shown, unread_count) = ctx.domain().mark_notification_read(viewer, id).await?;
            Ok(Some(NotificationPayload { notification: Some(shown.into()), unread_count }))
        })
        .await
    }

    /// Marks all notifications as read; with `upTo`, only the one with this cursor and the older ones.
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
    use crate::model::id::{PostId, Slot};

    #[test]
    fn sentences_count_the_others() {
        let post = PostId::make(&Clock::system(), Slot::random()).uuid();
        assert_eq!(sentence("ana", 1, Kind::Like, post), "ana liked your post.");
        assert_eq!(sentence("ana", 2, Kind::Follow, post), "ana and 1 other followed you.");
        assert_eq!(sentence("ana", 9, Kind::Mention, post), "ana and 8 others mentioned you in a post.");
    }
}
