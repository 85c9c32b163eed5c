//! Sending messages.

mod write;

use serde::Serialize;

use super::Domain;
use super::account::Viewer;
use super::text;
use super::upload::why_unusable;
use crate::model::id::{ConversationId, MediaId, MessageId, PostId, Slot, UserId};
use crate::model::idempotency::IdempotencyKey;
use crate::model::idempotency::{Created, Request};
use crate::model::{Error, Result};
use crate::store::{Tx, conversation, media, member};
pub(super) use write::MessageWrite;

/// The most characters in a message.
pub const MAX_TEXT: usize = 4000;
/// The most images in a message.
pub const MAX_MEDIA: usize = 10;
/// To how many inboxes a message goes at most: of a long thread, those who joined last.
pub const MAX_INBOXES: i64 = 500;

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Conversation(ConversationId),
    /// The direct conversation with this user.
    User(UserId),
    /// The thread of this post.
    Post(PostId),
}

impl Target {
    /// Where a message to it is written.
    fn slot(self, sender: UserId) -> Slot {
        match self {
            Self::Conversation(id) => id.slot(),
            Self::User(user) => Room::direct(sender, user).slot(),
            Self::Post(post) => post.slot(),
        }
    }
}

/// A message to be sent, its parts checked one by one and against each other.
#[derive(Debug, Clone, Serialize)]
pub struct NewMessage {
    pub to: Target,
    pub text: Option<String>,
    pub media: Vec<MediaId>,
    pub shared_post: Option<PostId>,
    pub reply_to: Option<MessageId>,
}

impl NewMessage {
    /// Checks the text and that there is something to send.
    pub fn parse(
        to: Target,
        text: Option<&str>,
        media: Vec<MediaId>,
        shared_post: Option<PostId>,
        reply_to: Option<MessageId>,
    ) -> Result<Self> {
        let text = text::optional("input.text", text, MAX_TEXT)?;
        if text.is_none() && media.is_empty() && shared_post.is_none() {
            return Err(Error::invalid("input.text", "is empty, and nothing else is sent"));
        }
        if media.len() > MAX_MEDIA {
            return Err(Error::invalid("input.mediaIds", format!("has more than {MAX_MEDIA} images")));
        }
        if media.iter().enumerate().any(|(index, id)| media[..index].contains(id)) {
            return Err(Error::invalid("input.mediaIds", "names an image twice"));
        }
        Ok(Self { to, text, media, shared_post, reply_to })
    }
}

/// Where a message is written: a conversation that is there, or one that its first message starts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Room {
    Members(ConversationId),
    Direct(UserId, UserId),
    Thread(PostId),
}

impl Room {
    pub(super) fn direct(one: UserId, other: UserId) -> Self {
        Self::Direct(one.min(other), one.max(other))
    }

    pub(super) fn slot(self) -> Slot {
        match self {
            Self::Members(id) => id.slot(),
            Self::Direct(low, high) => {
                let mut pair = [0; 32];
                pair[..16].copy_from_slice(low.uuid().as_bytes());
                pair[16..].copy_from_slice(high.uuid().as_bytes());
                Slot::of_bytes(&pair)
            }
            Self::Thread(post) => post.slot(),
        }
    }

    /// The conversation's id; it is started where it has to be, and its writer takes part.
    pub(super) async fn enter(self, tx: &Tx, writer: UserId) -> Result<ConversationId> {
        match self {
            Self::Members(id) => Ok(id),
            Self::Direct(low, high) => conversation::direct(tx, self.slot(), low, high).await,
            Self::Thread(post) => {
                let id = conversation::thread(tx, post).await?;
                member::join(tx, id, writer).await?;
                Ok(id)
            }
        }
    }
}

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
        self.write_grouped(sender, &self.writes.messages, write).await
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

    /// The direct conversation of the viewer and somebody else, if they have one.
    pub(super) async fn direct_with(&self, viewer: &Viewer, other: UserId) -> Result<Option<ConversationId>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Clock;

    #[test]
    fn a_message_says_something() {
        let clock = Clock::system();
        let to = Target::User(UserId::make(&clock, Slot::random()));
        let image = MediaId::make(&clock, Slot::random());
        let long = "x".repeat(MAX_TEXT + 1);
        let parse = |text, media| NewMessage::parse(to, text, media, None, None);
        assert!(parse(None, vec![]).is_err());
        assert!(parse(Some(" \n"), vec![]).is_err());
        assert!(parse(Some(&long), vec![]).is_err());
        assert!(parse(None, vec![image, image]).is_err());
        assert!(parse(None, vec![image]).is_ok());
        assert_eq!(parse(Some(" hi "), vec![]).expect("a message").text.as_deref(), Some("hi"));
    }

    #[test]
    fn both_sides_of_a_pair_meet_in_one_slot() {
        let clock = Clock::system();
        let (one, two) = (UserId::make(&clock, Slot::random()), UserId::make(&clock, Slot::random()));
        let room = |a: UserId, b: UserId| Room::Direct(a.min(b), a.max(b));
        assert_eq!(room(one, two).slot(), room(two, one).slot());
    }
}
