//! Conversations: who may read where, and each member's list.

mod change;
pub mod group;
pub mod inbox;
pub mod list;
pub mod message;
pub mod message_change;
pub mod typing;

use std::sync::Arc;

use super::Domain;
use super::fill::{Filling, UserPage, seen};
use super::viewer::Viewer;
use crate::model::conversation::ConversationKind;
use crate::model::event::Event;
use crate::model::id::{ConversationId, UserId};
use crate::model::notification::Kind;
use crate::model::page::{Page, Place, Slice};
use crate::model::stream::LogTopic;
use crate::model::{Error, Result};
use crate::store::inbox::Flags;
use crate::store::log::{self, Entry};
use crate::store::member::{self, Member};
use crate::store::{self, conversation, notification};
use change::next_change;

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
            let made = crate::model::clock::from_millis(crate::model::id::millis_of(post.uuid()));
            return Ok(Arc::new(conversation::Model::unwritten_thread(post, made)));
        };
        if let Some(post) = found.post() {
            self.require_post(viewer, post).await?;
            return Ok(found);
        }
        let user = viewer.ok_or(missing.clone())?.user;
        let member = member::Membership { conversation: id, user };
        self.tables.memberships.get(member).await?.ok_or(missing)?;
        Ok(found)
    }

    /// The viewer's entry for a conversation, as of its last message; none where it is not in the viewer's list.
    pub async fn conversation_entry(
        &self,
        viewer: &Viewer,
        id: ConversationId,
        last: Option<&store::message::Model>,
    ) -> Result<Option<Arc<store::inbox::Model>>> {
        let entry = store::inbox::Entry { user: viewer.user, conversation: id };
        let own = member::Membership { conversation: id, user: viewer.user };
        let (entry, own) = tokio::join!(self.tables.inbox.get(entry), self.tables.memberships.get(own));
        let (Some(entry), own) = (entry?, own?) else { return Ok(None) };
        Ok(Some(last.map_or(entry.clone(), |last| Arc::new((*entry).clone().as_of(last, own.as_deref())))))
    }

    /// A page of the messages of a conversation that the viewer was let into.
    pub async fn messages(
        &self,
        id: ConversationId,
        page: &Page,
    ) -> Result<Slice<(Place, store::message::Model)>> {
        let read = async |connection| store::message::page(&connection, id, page).await;
        let rows = self.store.read(id.slot(), read).await?;
        Ok(Slice::cut(rows, page).map(|row| (Place::number(row.seq.into()), row)))
    }

    /// A page of the members of a conversation that the viewer was let into. Of a thread: who wrote. `first` are
    /// those who joined first, and `known` are some of the members, as far as they were read already.
    pub async fn members(
        &self,
        viewer: Option<&Viewer>,
        id: ConversationId,
        page: &Page,
        first: &[Member],
        known: &list::People,
    ) -> Result<UserPage> {
        let mut filling = Filling::of(page);
        while let Some(page) = filling.wanted() {
            let limit = page.size as usize + 1;
            let rows = if page.after.is_none() {
                first.iter().take(limit).copied().collect()
            } else {
                let read = async |connection| member::page(&connection, id, &page).await;
                self.store.read(id.slot(), read).await?
            };
            let unknown = rows.iter().map(Member::user).filter(|user| !known.contains_key(user));
            let (mut users, away) = self.visible_users(viewer, &unknown.collect::<Vec<_>>()).await;
            users.extend(known.iter().map(|(id, user)| (*id, user.clone())));
            let rows = rows.iter().map(|row| (Place::moment(row.joined_at, row.user_id), row.user()));
            filling.add(seen(rows, &(users, away)));
        }
        Ok(filling.finish())
    }

    /// Says that the viewer has read a conversation up to the message with this number; never back. What
    /// notified of its messages is read as well.
    pub async fn mark_conversation_read(&self, viewer: &Viewer, id: ConversationId, seq: i32) -> Result<()> {
        if seq < 0 {
            return Err(Error::invalid("seq", "is less than 0"));
        }
        // A message is announced before it is in the list, so the conversation says how many there are.
        let conversation = self.require_conversation(Some(viewer), id).await?;
        let (user, seq) = (viewer.user, seq.min(conversation.seq));
        let is_shown = conversation.kind() != ConversationKind::Post;
        self.write(user, user.slot(), |tx| async move {
            // Locked first, as everywhere, so that it can't deadlock with the delivery of a message.
            log::lock(&tx, [user]).await?;
            let moved = store::inbox::mark_read(&tx, user, id, seq).await?;
            notification::mark_read_about(&tx, user, Kind::Message as i16, id.uuid()).await?;
            if moved == Some(true) {
                let topic = LogTopic::Read;
                let read = Entry {
                    user,
                    topic,
                    about: id.uuid(),
                    actor: Some(user),
                    version: seq.into(),
                    event: None,
                };
                for (user, n) in log::append(&tx, &[read]).await? {
                    tx.emit(&Event::ReceiverLogged { user, n })?;
                }
            }
            // Where it is not in the list yet, it comes there as read.
            if is_shown && moved != Some(false) {
                let at = tx.clock().unix_millis();
                tx.emit(&Event::ConversationRead { conversation: id, user, seq, at })?;
            }
            Ok(())
        })
        .await
    }

    /// Shows the others how far a member has read; for the consumer of `Event::ConversationRead`. May run
    /// twice, and in any order.
    pub async fn show_read(&self, id: ConversationId, user: UserId, seq: i32, at: i64) -> Result<()> {
        let at = crate::model::clock::from_millis(at);
        self.store
            .tx(id.slot(), |tx| async move {
                let Some(held) = conversation::lock(&tx, id).await? else { return Ok(()) };
                if !member::mark_read(&tx, id, user, seq, at, held.change + 1).await? {
                    return Ok(());
                }
                next_change(&tx, id, Vec::new()).await.map(|_| ())
            })
            .await
    }

    /// Archives or mutes a conversation of the viewer's list.
    pub async fn set_conversation_flags(
        &self,
        viewer: &Viewer,
        id: ConversationId,
        flags: Flags,
    ) -> Result<()> {
        self.require_conversation(Some(viewer), id).await?;
        let user = viewer.user;
        let set = |tx| async move { store::inbox::set_flags(&tx, user, id, flags).await };
        if self.write(user, user.slot(), set).await? {
            return Ok(());
        }
        Err(Error::Conflict("The conversation is not in your list."))
    }
}
