//! What a user's log tells, with the rows behind it as they are now, and as far as the user may see them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use time::OffsetDateTime;

use super::Domain;
use super::fill::Seen;
use super::notification_list::{Shown, found};
use super::viewer::Viewer;
use crate::model::Result;
use crate::model::follow::FollowState;
use crate::model::id::{ConversationId, MessageId, NotificationId, UserId};
use crate::model::stream::LogTopic;
use crate::store::stream::Marker;
use crate::store::{LoadErrors, Loaded, log, member, message, user};

/// A row of a log with what it tells of.
#[derive(Debug, Clone)]
pub enum Logged {
    Notification {
        shown: Shown,
        at: OffsetDateTime,
    },
    /// A message in its newest state; `since` is the change of its conversation up to which the user was told
    /// before.
    Message {
        row: Arc<message::Model>,
        since: i64,
    },
    Read(Marker),
    Follow {
        user: Arc<user::Model>,
        /// Whether they still do, or ask to.
        state: FollowState,
        at: OffsetDateTime,
    },
}

/// What there is to tell of a row: nothing where it is not for the viewer, or gone; an error where its shard
/// can't be read.
pub type Told = Option<Result<Logged>>;

impl Domain {
    /// What these rows of the viewer's log tell, those of other topics left out. One query for each table and
    /// shard. An error where the viewer's own shard can't be read.
    pub async fn read_log(
        &self,
        viewer: &Viewer,
        rows: &[Arc<log::Row>],
        topics: &[LogTopic],
    ) -> Result<Vec<Told>> {
        let of = |wanted: LogTopic| {
            let is_asked = topics.contains(&wanted);
            rows.iter().filter(move |row| is_asked && row.topic() == Some(wanted)).map(|row| row.ref_id)
        };
        let notifications: Vec<_> = of(LogTopic::Notification).map(NotificationId::from_row).collect();
        let messages: Vec<_> = of(LogTopic::Message).map(MessageId::from_row).collect();
        let followers: Vec<_> = of(LogTopic::Follow).map(UserId::from_row).collect();
        let edges: Vec<_> = followers.iter().map(|follower| (viewer.user, *follower)).collect();
        let ((notifications, away), messages, followers, (edges, no_edges), (asked, no_asked)) = tokio::join!(
            self.tables.notifications.load(&notifications),
            self.visible_messages(Some(viewer), &messages),
            self.visible_users(Some(viewer), &followers),
            self.tables.is_follower.load(&edges),
            self.tables.has_asked.load(&edges),
        );
        let mut unread = away.into_values().chain(no_edges.into_values()).chain(no_asked.into_values());
        if let Some(error) = unread.next() {
            return Err(error);
        }
        let notifications: Vec<_> = notifications.into_values().collect();
        let shown = self.see_notifications(viewer, &notifications).await?;
        let shown: HashMap<_, _> = notifications.iter().map(|row| row.id()).zip(shown).collect();
        let told = rows.iter().map(|row| {
            let topic = row.topic().filter(|topic| topics.contains(topic))?;
            match topic {
                LogTopic::Notification => match shown.get(&NotificationId::from_row(row.ref_id))? {
                    Seen::Visible(shown) => {
                        Some(Ok(Logged::Notification { shown: shown.clone(), at: row.at }))
                    }
                    Seen::Unavailable(error) => Some(Err(error.clone())),
                    Seen::Hidden => None,
                },
                LogTopic::Message => found(&messages, MessageId::from_row(row.ref_id))
                    .map(|found| Ok(Logged::Message { row: found?, since: row.version })),
                LogTopic::Read => Some(Ok(Logged::Read(marker(row)?))),
                LogTopic::Follow => found(&followers, UserId::from_row(row.ref_id)).map(|user| {
                    let user = user?;
                    let edge = (viewer.user, user.id());
                    let state = FollowState::of(edges.contains_key(&edge), asked.contains_key(&edge));
                    Ok(Logged::Follow { user, state, at: row.at })
                }),
            }
        });
        Ok(told.collect())
    }

    /// Those of these messages whose conversations the viewer may read.
    pub async fn visible_messages(
        &self,
        viewer: Option<&Viewer>,
        ids: &[MessageId],
    ) -> Loaded<MessageId, Arc<message::Model>> {
        let (mut messages, mut away) = self.tables.messages.load(ids).await;
        let mut conversations: Vec<_> = messages.values().map(|message| message.conversation()).collect();
        conversations.sort_unstable();
        conversations.dedup();
        let (readable, unread) = self.readable_conversations(viewer, &conversations).await;
        messages.retain(|id, message| {
            if let Some(error) = unread.get(&message.conversation()) {
                away.insert(*id, error.clone());
            }
            readable.contains(&message.conversation())
        });
        (messages, away)
    }

    /// Those of these conversations that the viewer may read, as [`Domain::require_conversation`] says; only
    /// those that have been written to.
    pub(super) async fn readable_conversations(
        &self,
        viewer: Option<&Viewer>,
        ids: &[ConversationId],
    ) -> (HashSet<ConversationId>, LoadErrors<ConversationId>) {
        let user = viewer.map(|viewer| viewer.user);
        let memberships =
            ids.iter().filter_map(|id| Some(member::Membership { conversation: *id, user: user? }));
        let memberships: Vec<_> = memberships.collect();
        let ((conversations, mut away), (memberships, no_memberships)) =
            tokio::join!(self.tables.conversations.load(ids), self.tables.memberships.load(&memberships),);
        let posts: Vec<_> = conversations.values().filter_map(|row| row.post()).collect();
        let (posts, no_posts) = self.visible_posts(viewer, &posts).await;
        away.extend(no_memberships.into_iter().map(|(key, error)| (key.conversation, error)));
        let mut readable = HashSet::new();
        for (id, row) in conversations {
            let may_read = match row.post() {
                Some(post) => {
                    if let Some(error) = no_posts.get(&post) {
                        away.insert(id, error.clone());
                    }
                    posts.contains_key(&post)
                }
                None => user.is_some_and(|user| {
                    memberships.contains_key(&member::Membership { conversation: id, user })
                }),
            };
            if may_read {
                readable.insert(id);
            }
        }
        (readable, away)
    }
}

fn marker(row: &log::Row) -> Option<Marker> {
    Some(Marker {
        conversation: ConversationId::from_row(row.ref_id),
        user: UserId::from_row(row.actor_id?),
        seq: i32::try_from(row.version).unwrap_or(i32::MAX),
        at: row.at,
    })
}
