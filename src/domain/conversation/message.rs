//! Sending messages.

mod new;
mod write;

use crate::domain::Domain;
use crate::domain::activity::Activity;
use crate::domain::media::upload::why_unusable;
use crate::domain::viewer::Viewer;
use crate::model::id::{ConversationId, MediaId, MessageId, UserId};
use crate::model::idempotency::{Created, IdempotencyKey, Request};
use crate::model::{Error, Result};
use crate::store::{conversation, media};
pub(in crate::domain) use new::Room;
pub use new::{MAX_MEDIA, MAX_TEXT, NewMessage, Target};
pub(in crate::domain) use write::MessageWrite;

impl Domain {
    /// Sends a message: one transaction on the conversation's shard, in which a first message also starts
    /// the conversation. Inboxes and notifications follow by the event.
    pub async fn send_message(
        &self,
        viewer: &Viewer,
        key: IdempotencyKey,
        message: NewMessage,
    ) -> Result<Created<MessageId>> {
        let request = Request::new("sendMessage", key, &message)?;
        let sender = viewer.user;
        let room = match self.prepare(viewer, &message).await {
            Ok(room) => room,
            // What was sent stays sent, though its sender may not write there any more.
            Err(refusal) => {
                let sent =
                    self.made_before(message.to.slot(sender), sender, &request).await?.ok_or(refusal)?;
                return Ok(Created { id: MessageId::from_row(sent), replayed: true });
            }
        };
        let id = MessageId::make(&self.clock, room.slot());
        let write = MessageWrite { id, sender, room, message, request };
        let created = self.write_grouped(sender, &self.writes.messages, write).await?;
        if !created.replayed {
            Activity::Message.count();
        }
        Ok(created)
    }

    /// Where the viewer's message goes, if the viewer may write there and send all that is in it.
    async fn prepare(&self, viewer: &Viewer, message: &NewMessage) -> Result<Room> {
        let room = self.room(viewer, message.to).await?;
        if let Some(post) = message.shared_post {
            self.require_post(Some(viewer), post).await?;
        }
        self.use_media(viewer, room, &message.media).await?;
        Ok(room)
    }

    /// Where the viewer's message goes, if the viewer may write there.
    async fn room(&self, viewer: &Viewer, target: Target) -> Result<Room> {
        match target {
            Target::Conversation(id) => {
                let conversation = self.require_conversation(Some(viewer), id).await?;
                if let Some(other) = conversation.other(viewer.user) {
                    self.require_may_go_on(viewer, id, other).await?;
                }
                Ok(conversation.post().map_or(Room::Members(id), Room::Thread))
            }
            Target::User(user) if user == viewer.user => {
                Err(Error::invalid("input.to.userId", "is your own"))
            }
            Target::User(user) => {
                match self.require_may_message(viewer, &[user]).await {
                    Err(refusal @ Error::Forbidden(_)) => {
                        let begun = self.direct_with(viewer, user).await?.ok_or(refusal)?;
                        self.require_may_go_on(viewer, begun, user).await?;
                    }
                    decided => decided?,
                }
                Ok(Room::direct(viewer.user, user))
            }
            Target::Post(post) => {
                self.require_post(Some(viewer), post).await?;
                Ok(Room::Thread(post))
            }
        }
    }

    /// The direct conversation of the viewer and another user, if they have one.
    pub(in crate::domain) async fn direct_with(
        &self,
        viewer: &Viewer,
        other: UserId,
    ) -> Result<Option<ConversationId>> {
        let (low, high) = (viewer.user.min(other), viewer.user.max(other));
        let read = async |connection| conversation::of_pair(&connection, low, high).await;
        self.store.read(Room::Direct(low, high).slot(), read).await
    }

    /// Marks the sender's images as shown in the conversation, so that they are not collected. They lie
    /// on the sender's shard, hence a transaction of its own before the message's: where the message then
    /// fails, an image is kept that nothing shows, which is better than the reverse. An image that is
    /// marked for this conversation passes again, so that a repeated request does.
    async fn use_media(&self, viewer: &Viewer, room: Room, media: &[MediaId]) -> Result<()> {
        if media.is_empty() {
            return Ok(());
        }
        let sender = viewer.user;
        let conversation =
            self.write(sender, room.slot(), |tx| async move { room.enter(&tx, sender).await }).await?;
        self.write(sender, sender.slot(), |tx| async move {
            if media::use_all(&tx, sender, media, conversation.uuid()).await? {
                return Ok(());
            }
            Err(why_unusable(&tx, sender, media, "input.mediaIds").await?)
        })
        .await
    }
}
