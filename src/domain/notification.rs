//! Who is notified of what.
//!
//! A notification stands for one (receiver, kind, target) and gathers its actors:
//!
//! | kind              | receiver            | target            | actors              |
//! |-------------------|---------------------|-------------------|---------------------|
//! | `LIKE`            | the post's author   | the post          | who like it         |
//! | `COMMENT`         | the post's author   | the post          | who commented on it |
//! | `REPLY`           | the parent's author | the new comment   | its author          |
//! | `MENTION`         | the one mentioned   | the post, comment | its author          |
//! | `FOLLOW`          | the followed        | the followed      | who follow          |
//! | `FOLLOW_REQUEST`  | the private account | the account       | who ask to follow   |
//! | `FOLLOW_ACCEPTED` | who asked           | the account       | the account         |
//! | `MESSAGE`         | each other member   | the conversation  | who wrote           |
//!
//! An actor is applied by version, so that events which come twice or out of order leave the same. One
//! comment notifies a person once, and nobody is notified of what they did themselves.

mod write;

use std::collections::HashSet;

use futures_util::stream::{self, StreamExt};
use time::OffsetDateTime;
use uuid::Uuid;

use super::Domain;
use super::notification_list::Shown;
use super::viewer::Viewer;
use crate::model::clock::from_millis;
use crate::model::event::Event;
use crate::model::id::{EventId, NotificationId, PostId, UserId, millis_of};
use crate::model::notification::{Kind, Notice};
use crate::model::page::{List, Place};
use crate::model::{Error, Result};
use crate::store::notification::{self, Target};

pub use crate::store::notification::MAX_ACTORS;
pub(super) use write::NoticeWrite;

/// How many receivers are written to at once because of one event.
const RECEIVERS_AT_ONCE: usize = 16;

/// Whether this event may notify anyone.
pub fn concerns(event: &Event) -> bool {
    match event {
        Event::PostCreated { mentions, .. } => !mentions.is_empty(),
        Event::PostUpdated { mentions_added, mentions_removed, .. } => {
            !mentions_added.is_empty() || !mentions_removed.is_empty()
        }
        Event::PostLiked { .. }
        | Event::CommentCreated { .. }
        | Event::UserFollowed { .. }
        | Event::FollowRequested { .. } => true,
        Event::ConversationChanged { sent, .. } => sent.is_some(),
        Event::PostDeleted { .. }
        | Event::MediaUploaded { .. }
        | Event::AccountOpened { .. }
        | Event::ConversationRead { .. }
        | Event::ReceiverLogged { .. } => false,
    }
}

/// Collects the notices of one event: each receiver once, never the actor.
struct Notices {
    actor: UserId,
    active: bool,
    version: i64,
    at: OffsetDateTime,
    post: Option<PostId>,
    change: Option<i64>,
    told: HashSet<UserId>,
    list: Vec<Notice>,
}

impl Notices {
    fn new(event_id: EventId, actor: UserId, version: i64) -> Self {
        let at = from_millis(millis_of(event_id.uuid()));
        let told = HashSet::from([actor]);
        Self { actor, active: true, version, at, post: None, change: None, told, list: Vec::new() }
    }

    fn about(self, post: PostId) -> Self {
        Self { post: Some(post), ..self }
    }

    fn tell(mut self, receivers: &[UserId], kind: Kind, target: impl Into<Uuid> + Copy) -> Self {
        for receiver in receivers {
            if self.told.insert(*receiver) {
                self.list.push(Notice {
                    receiver: *receiver,
                    kind,
                    target: target.into(),
                    actor: self.actor,
                    active: self.active,
                    version: self.version,
                    at: self.at,
                    post: self.post,
                    change: self.change,
                });
            }
        }
        self
    }

    fn active(self, active: bool) -> Self {
        Self { active, ..self }
    }
}

/// What follows from an event.
fn notices(event_id: EventId, event: &Event) -> Vec<Notice> {
    let from = |actor: &UserId, version| Notices::new(event_id, *actor, version);
    let notices = match event {
        Event::PostLiked { post, author, user, active, version } => {
            from(user, *version).about(*post).active(*active).tell(&[*author], Kind::Like, *post)
        }
        // Who has accepted it need not be told.
        Event::UserFollowed { user, follower, version, accepted: true, .. } => {
            from(user, *version).tell(&[*follower], Kind::FollowAccepted, *user)
        }
        Event::UserFollowed { user, follower, active, version, .. } => {
            from(follower, *version).active(*active).tell(&[*user], Kind::Follow, *user)
        }
        Event::FollowRequested { user, follower, active, version } => {
            from(follower, *version).active(*active).tell(&[*user], Kind::FollowRequest, *user)
        }
        // The version of what happens once is when it happened, which a post's edits go on from.
        Event::PostCreated { post, author, mentions, .. } => {
            from(author, millis_of(post.uuid())).about(*post).tell(mentions, Kind::Mention, *post)
        }
        Event::PostUpdated { post, author, version, mentions_added, mentions_removed, .. } => {
            let notices = from(author, *version).about(*post).tell(mentions_added, Kind::Mention, *post);
            notices.active(false).tell(mentions_removed, Kind::Mention, *post)
        }
        Event::CommentCreated { comment, post, post_author, author, parent_author, mentions, .. } => {
            from(author, millis_of(comment.uuid()))
                .about(*post)
                .tell(parent_author.as_slice(), Kind::Reply, *comment)
                .tell(mentions, Kind::Mention, *comment)
                .tell(&[*post_author], Kind::Comment, *post)
        }
        Event::ConversationChanged { conversation, change, sent: Some(sent), .. } => {
            let notices = Notices { change: Some(*change), ..from(&sent.sender, i64::from(sent.seq)) };
            notices.tell(&sent.members, Kind::Message, *conversation)
        }
        _ => return Vec::new(),
    };
    notices.list
}

impl Domain {
    /// Notifies everybody whom the event concerns. May be run again, and out of order.
    pub async fn notify(&self, event: EventId, content: &Event) -> Result<()> {
        let notices = notices(event, content).into_iter().map(|notice| NoticeWrite { event, notice });
        let writes: Vec<_> = notices.map(|write| self.notify_one(write)).collect();
        let written: Vec<_> = stream::iter(writes).buffer_unordered(RECEIVERS_AT_ONCE).collect().await;
        written.into_iter().collect()
    }

    async fn notify_one(&self, write: NoticeWrite) -> Result<()> {
        // A post on the receiver's own shard is looked at in the transaction.
        if let Some(post) = write.post_elsewhere()
            && self.tables.posts.get(post).await.is_ok_and(|post| post.is_none())
        {
            return Ok(());
        }
        self.writes.notices.write(write).await.map(|_| ())
    }

    /// Takes back notifications whose target is gone.
    pub(super) async fn withdraw_notifications(&self, gone: Vec<Target>) -> Result<()> {
        let withdraw = |tx, gone: Vec<Target>| async move { notification::withdraw(&tx, &gone).await };
        let shards = self.store.scatter_tx(gone, |(user, ..)| user.slot(), withdraw).await;
        shards.into_iter().collect()
    }

    /// Marks one of the caller's notifications as read; returns it, and how many are left unread.
    pub async fn mark_notification_read(&self, viewer: &Viewer, id: NotificationId) -> Result<(Shown, i32)> {
        let user = viewer.user;
        self.notification(viewer, id).await?.ok_or(Error::NotFound("notification"))?;
        let mark = |tx| async move { notification::mark_read(&tx, user, id).await };
        self.write(user, user.slot(), mark).await?;
        let shown = self.notification(viewer, id).await?.ok_or(Error::NotFound("notification"))?;
        Ok((shown, self.unread_notifications(viewer).await?))
    }

    /// Marks as read the caller's notifications from the place of this cursor on, the older ones; or all.
    /// Returns how many are left unread.
    pub async fn mark_all_notifications_read(&self, viewer: &Viewer, up_to: Option<&str>) -> Result<i32> {
        let place = |cursor| {
            let bad = |_| Error::invalid("upTo", "is not a cursor of this list");
            let place = Place::decode(List::Notifications, cursor).map_err(bad)?;
            Ok((place.time().map_err(bad)?, place.id))
        };
        let up_to = up_to.map(place).transpose()?;
        let user = viewer.user;
        let mark = |tx| async move { notification::mark_all_read(&tx, user, up_to).await };
        self.write(user, user.slot(), mark).await?;
        self.unread_notifications(viewer).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Clock;
    use crate::model::event::Sent;
    use crate::model::id::{CommentId, ConversationId, PostId, Slot};

    fn users<const N: usize>() -> [UserId; N] {
        std::array::from_fn(|_| UserId::make(&Clock::system(), Slot::random()))
    }

    fn told(event: &Event) -> Vec<(UserId, Kind, Uuid)> {
        let id = EventId::make(&Clock::system(), Slot::random());
        notices(id, event).into_iter().map(|notice| (notice.receiver, notice.kind, notice.target)).collect()
    }

    #[test]
    fn one_comment_tells_a_person_once() {
        let [author, writer, parent, other] = users();
        let clock = Clock::system();
        let comment = CommentId::make(&clock, author.slot());
        let post = PostId::make(&clock, author.slot());
        let event = |parent_author, mentions| Event::CommentCreated {
            comment,
            post,
            post_author: author,
            author: writer,
            parent_author,
            mentions,
            n: None,
        };
        assert_eq!(told(&event(None, vec![])), [(author, Kind::Comment, post.uuid())]);
        assert_eq!(
            told(&event(Some(parent), vec![other, parent, writer, other])),
            [
                (parent, Kind::Reply, comment.uuid()),
                (other, Kind::Mention, comment.uuid()),
                (author, Kind::Comment, post.uuid()),
            ]
        );
        assert_eq!(told(&event(Some(author), vec![author])), [(author, Kind::Reply, comment.uuid())]);
        assert_eq!(told(&event(Some(writer), vec![author])), [(author, Kind::Mention, comment.uuid())]);
    }

    #[test]
    fn nobody_is_told_of_their_own_doing() {
        let [user, other] = users();
        let post = PostId::make(&Clock::system(), user.slot());
        assert!(told(&Event::PostLiked { post, author: user, user, active: true, version: 1 }).is_empty());
        let conversation = ConversationId::of_post(post);
        let sent = |members| Some(Sent { seq: 1, sender: user, members, at: 0 });
        let event = Event::ConversationChanged {
            conversation,
            change: 1,
            sent: sent(vec![user, other]),
            left: vec![],
        };
        assert_eq!(told(&event), [(other, Kind::Message, conversation.uuid())]);
        let edited = Event::ConversationChanged { conversation, change: 2, sent: None, left: vec![] };
        assert!(told(&edited).is_empty() && !concerns(&edited));
    }
}
