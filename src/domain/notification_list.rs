//! A user's notifications, as far as the user may see what they are about and who caused them. The others are
//! left out of lists, counts and streams.

use std::sync::Arc;

use super::Domain;
use super::fill::{FilledPage, Filling, Seen};
use super::policy::VisiblePost;
use super::viewer::Viewer;
use crate::model::id::{self, CommentId, ConversationId, NotificationId, PostId, UserId};
use crate::model::notification::Kind;
use crate::model::page::{Page, Place};
use crate::model::{Error, Result};
use crate::store::message::LastMessage;
use crate::store::notification::{self, ActorsOf, Model, UnreadOf};
use crate::store::{Loaded, comment, message, user};

/// Of how many unread notifications it is looked at whether they may be seen, when they are counted.
const COUNTED: i64 = 100;

/// What a notification is about.
#[derive(Debug, Clone)]
pub enum Target {
    User(Arc<user::Model>),
    Post(VisiblePost),
    Comment(Arc<comment::Model>),
    /// The last of a conversation.
    Message(Arc<message::Model>),
}

/// A notification that its receiver may see.
#[derive(Debug, Clone)]
pub struct Shown {
    pub row: Arc<Model>,
    /// Who caused it last, the newest first.
    pub actors: Arc<Vec<UserId>>,
    /// The newest of them whom the receiver may see; an error where that can't be read.
    pub newest: Result<Arc<user::Model>>,
    /// An error where it can't be read.
    pub target: Result<Target>,
}

/// What notifications are about: the rows, and what can't be read.
struct Targets {
    users: Loaded<UserId, Arc<user::Model>>,
    posts: Loaded<PostId, VisiblePost>,
    comments: Loaded<CommentId, Arc<comment::Model>>,
    messages: Loaded<ConversationId, Arc<message::Model>>,
}

impl Domain {
    /// A page of the caller's notifications, those with the newest actors first.
    pub async fn notifications(
        &self,
        viewer: &Viewer,
        page: &Page,
        kinds: Option<&[Kind]>,
    ) -> Result<FilledPage<Shown>> {
        let user = viewer.user;
        let mut filling = Filling::of(page);
        while let Some(page) = filling.wanted() {
            let read = async |connection| notification::list(&connection, user, &page, kinds).await;
            let rows: Vec<_> = self.store.read(user.slot(), read).await?.into_iter().map(Arc::new).collect();
            let seen = self.see_notifications(viewer, &rows).await?;
            let places = rows.iter().map(|row| Place::moment(row.updated_at, row.id));
            filling.add(places.zip(seen).collect());
        }
        Ok(filling.finish())
    }

    /// The caller's notification with this id. Another's does not exist for the caller.
    pub async fn notification(&self, viewer: &Viewer, id: NotificationId) -> Result<Option<Shown>> {
        let Some(row) = self.tables.notifications.get(id).await? else { return Ok(None) };
        if row.receiver() != viewer.user {
            return Ok(None);
        }
        match self.see_notifications(viewer, &[row]).await?.pop() {
            Some(Seen::Visible(shown)) => Ok(Some(shown)),
            Some(Seen::Unavailable(error)) => Err(error),
            Some(Seen::Hidden) | None => Ok(None),
        }
    }

    /// How many notifications the caller has not read.
    pub async fn unread_notifications(&self, viewer: &Viewer) -> Result<i32> {
        let user = viewer.user;
        let count = self.tables.unread_counts.get(UnreadOf(user)).await?.map_or(0, |count| *count);
        if count == 0 {
            return Ok(0);
        }
        let read = async |connection| notification::unread(&connection, user, COUNTED).await;
        let (count, rows) = self.store.read(user.slot(), read).await?;
        let rows: Vec<_> = rows.into_iter().map(Arc::new).collect();
        let seen = self.see_notifications(viewer, &rows).await?;
        let hidden = seen.iter().filter(|seen| matches!(seen, Seen::Hidden)).count();
        Ok((count - i32::try_from(hidden).unwrap_or(i32::MAX)).max(0))
    }

    /// How their receiver sees these notifications: those are hidden whose target is gone or not for the receiver,
    /// and those of whose newest actors none may be seen.
    pub async fn see_notifications(&self, viewer: &Viewer, rows: &[Arc<Model>]) -> Result<Vec<Seen<Shown>>> {
        let asked: Vec<ActorsOf> = rows.iter().map(|row| ActorsOf(row.id())).collect();
        let (targets, (actors, away)) =
            tokio::join!(self.targets(viewer, rows), self.tables.notification_actors.load(&asked));
        if let Some(error) = away.into_values().next() {
            return Err(error);
        }
        let actors_of = |row: &Model| actors.get(&ActorsOf(row.id())).cloned().unwrap_or_default();
        let newest: Vec<UserId> = rows.iter().filter_map(|row| actors_of(row).first().copied()).collect();
        let (mut people, mut away) = self.visible_users(Some(viewer), &newest).await;
        // The others only of those whose newest may not be seen.
        let is_hidden = |row: &&Arc<Model>| {
            actors_of(row).first().is_some_and(|id| !people.contains_key(id) && !away.contains_key(id))
        };
        let others =
            rows.iter().filter(is_hidden).flat_map(|row| actors_of(row).iter().copied().collect::<Vec<_>>());
        let others: Vec<UserId> = others.collect();
        if !others.is_empty() {
            let (found, unavailable) = self.visible_users(Some(viewer), &others).await;
            people.extend(found);
            away.extend(unavailable);
        }
        let people = (people, away);
        let see = |row: &Arc<Model>| {
            let actors = actors_of(row);
            let newest = actors.iter().find_map(|id| found(&people, *id));
            match (newest, targets.of(row.target_id)) {
                (Some(newest), Some(target)) => {
                    Seen::Visible(Shown { row: row.clone(), actors, newest, target })
                }
                _ => Seen::Hidden,
            }
        };
        Ok(rows.iter().map(see).collect())
    }

    async fn targets(&self, viewer: &Viewer, rows: &[Arc<Model>]) -> Targets {
        let viewer = Some(viewer);
        let of =
            |kind| rows.iter().map(|row| row.target_id).filter(move |id| id::Kind::of(*id) == Some(kind));
        let users: Vec<_> = of(id::Kind::User).map(UserId::from_row).collect();
        let posts: Vec<_> = of(id::Kind::Post).map(PostId::from_row).collect();
        let comments: Vec<_> = of(id::Kind::Comment).map(CommentId::from_row).collect();
        let conversations: Vec<_> = of(id::Kind::Conversation).map(ConversationId::from_row).collect();
        let last: Vec<_> = conversations.iter().copied().map(LastMessage).collect();
        let (users, posts, comments, (readable, mut away), (messages, no_messages)) = tokio::join!(
            self.visible_users(viewer, &users),
            self.visible_posts(viewer, &posts),
            self.visible_comments(viewer, &comments),
            self.readable_conversations(viewer, &conversations),
            self.tables.last_messages.load(&last),
        );
        let messages = messages.into_iter().map(|(LastMessage(id), message)| (id, message));
        let messages = messages.filter(|(id, _)| readable.contains(id)).collect();
        away.extend(no_messages.into_iter().map(|(LastMessage(id), error)| (id, error)));
        Targets { users, posts, comments, messages: (messages, away) }
    }
}

impl Targets {
    /// The id says what it names.
    fn of(&self, id: uuid::Uuid) -> Option<Result<Target>> {
        match id::Kind::of(id)? {
            id::Kind::User => Some(found(&self.users, UserId::from_row(id))?.map(Target::User)),
            id::Kind::Post => Some(found(&self.posts, PostId::from_row(id))?.map(Target::Post)),
            id::Kind::Comment => Some(found(&self.comments, CommentId::from_row(id))?.map(Target::Comment)),
            id::Kind::Conversation => {
                Some(found(&self.messages, ConversationId::from_row(id))?.map(Target::Message))
            }
            _ => None,
        }
    }
}

/// The row, or why it can't be read; nothing where it is gone or hidden.
pub(super) fn found<K: Copy + Eq + std::hash::Hash, V: Clone>(
    (rows, away): &Loaded<K, V>,
    key: K,
) -> Option<Result<V, Error>> {
    match rows.get(&key) {
        Some(row) => Some(Ok(row.clone())),
        None => away.get(&key).cloned().map(Err),
    }
}
