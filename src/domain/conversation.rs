//! Conversations: who may read where, and each member's list.

use std::sync::Arc;

use super::account::Viewer;
use super::event::Sent;
use super::id::{ConversationId, PostId, UserId};
use super::notification::Kind;
use super::page::{Page, Place, Slice};
use super::{Domain, Error, Result};
use crate::store::{conversation, inbox, message, notification};

/// What a conversation is. The numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum ConversationKind {
    Direct = 0,
    Group = 1,
    Post = 2,
}

impl ConversationKind {
    /// The kind with this number; only these three are ever written.
    pub const fn from_row(number: i16) -> Self {
        match number {
            0 => Self::Direct,
            2 => Self::Post,
            _ => Self::Group,
        }
    }
}

impl Domain {
    /// The conversation, if the viewer may read it: the members of a direct or group conversation, and
    /// whoever may see the post of a thread. A thread is there as soon as its post is.
    pub async fn require_conversation(
        &self,
        viewer: Option<&Viewer>,
        id: ConversationId,
    ) -> Result<Arc<conversation::Model>> {
        let missing = Error::NotFound("conversation");
        let Some(found) = self.tables.conversations.get(id).await? else {
            let post = id.as_thread_of();
            let visible = self.require_post(viewer, post).await;
            visible.map_err(|error| if matches!(error, Error::NotFound(_)) { missing } else { error })?;
            let made = super::clock::from_millis(super::id::millis_of(post.uuid()));
            return Ok(Arc::new(conversation::Model::unwritten_thread(post, made)));
        };
        if let Some(post) = found.post() {
            self.require_post(viewer, post).await?;
            return Ok(found);
        }
        let user = viewer.ok_or(missing.clone())?.user;
        let member = conversation::Membership { conversation: id, user };
        self.tables.memberships.get(member).await?.ok_or(missing)?;
        Ok(found)
    }

    /// A page of the messages of a conversation that the viewer was let into.
    pub async fn messages(&self, id: ConversationId, page: &Page) -> Result<Slice<(Place, message::Model)>> {
        let read = async |connection| message::page(&connection, id, page).await;
        let rows = self.store.read(id.slot(), read).await?;
        Ok(Slice::cut(rows, page).map(|row| (Place::number(row.seq.into()), row)))
    }

    /// A page of the members of a conversation that the viewer was let into. Of a thread: who wrote.
    pub async fn members(&self, id: ConversationId, page: &Page) -> Result<Slice<(Place, UserId)>> {
        let read = async |connection| conversation::members(&connection, id, page).await;
        let rows = self.store.read(id.slot(), read).await?;
        Ok(first_members(&rows, page))
    }

    /// A page of the viewer's conversations, the one with the newest message first. Null stands for those
    /// that can't be read now, whose error is told beside them, and for threads of posts that the viewer may
    /// not see any more.
    pub async fn conversations(
        &self,
        viewer: &Viewer,
        page: &Page,
    ) -> Result<(Slice<(Place, Option<Arc<conversation::Model>>)>, Option<Error>)> {
        let read = async |connection| inbox::page(&connection, viewer.user, page).await;
        let entries = self.store.read(viewer.user.slot(), read).await?;
        let ids: Vec<ConversationId> = entries.iter().map(inbox::Model::conversation).collect();
        let (found, away) = self.tables.conversations.load(&ids).await;
        let posts: Vec<PostId> = found.values().filter_map(|conversation| conversation.post()).collect();
        let (posts, no_posts) = self.visible_posts(Some(viewer), &posts).await;
        let away = away.into_values().chain(no_posts.into_values()).next();
        let rows = entries.into_iter().map(|entry| {
            let found = found.get(&entry.conversation()).cloned();
            let place = Place::moment(entry.last_message_at, entry.conversation_id);
            (place, found.filter(|row| row.post().is_none_or(|post| posts.contains_key(&post))))
        });
        Ok((Slice::cut(rows.collect(), page), away))
    }

    /// Says that the viewer has read a conversation up to the message with this number; never back. What
    /// notified of its messages is read as well.
    pub async fn mark_conversation_read(&self, viewer: &Viewer, id: ConversationId, seq: i32) -> Result<()> {
        if seq < 0 {
            return Err(Error::invalid("seq", "is less than 0"));
        }
        self.require_conversation(Some(viewer), id).await?;
        let user = viewer.user;
        self.write(user, user.slot(), |tx| async move {
            if inbox::mark_read(&tx, user, id, seq).await? {
                notification::mark_read_about(&tx, user, Kind::Message as i16, id.uuid()).await?;
            }
            Ok(())
        })
        .await
    }

    /// In how many of the viewer's conversations there is something unread.
    pub async fn unread_conversations(&self, viewer: &Viewer) -> Result<i64> {
        let read = async |connection| inbox::unread_conversations(&connection, viewer.user).await;
        self.store.read(viewer.user.slot(), read).await
    }

    /// Tells the members' inboxes of a message; for the consumer of `Event::ConversationChanged`. May run
    /// twice, and in any order.
    pub async fn deliver_to_inboxes(&self, conversation: ConversationId, sent: &Sent) -> Result<()> {
        let deliver = |connection, members: Vec<UserId>| async move {
            inbox::deliver(&connection, conversation, sent, &members).await
        };
        let shards = self.store.scatter(sent.members.clone(), |member| member.slot(), deliver).await;
        shards.into_iter().collect()
    }
}

/// A page of the members, of at least [`Page::limit`] that were read where there are so many.
pub fn first_members(rows: &[conversation::Member], page: &Page) -> Slice<(Place, UserId)> {
    let rows = rows.iter().take(page.size as usize + 1);
    let members = rows.map(|row| (Place::moment(row.joined_at, row.user_id), row.user())).collect();
    Slice::cut(members, page)
}
