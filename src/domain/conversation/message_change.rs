//! What becomes of a message after it is sent: another text, its removal, reactions.
//!
//! Each is one transaction that holds the conversation and raises its counter, so that streams tell it in
//! order and also to those who were away.

use std::sync::Arc;

use super::change::next_change;
use super::message::MAX_TEXT;
use crate::domain::viewer::Viewer;
use crate::domain::{Domain, text};
use crate::model::id::{ConversationId, MessageId};
use crate::model::{Error, Result};
use crate::store::{Tx, conversation, media, message, reaction};

/// The most reactions that one person gives to one message.
const MAX_REACTIONS: i64 = 5;

/// One emoji, in its fully qualified form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emoji(&'static str);

impl Emoji {
    /// Reads an emoji of the Unicode standard, in any of its forms.
    pub fn parse(field: &'static str, text: &str) -> Result<Self> {
        let known = emojis::get(text.trim()).ok_or_else(|| Error::invalid(field, "is not an emoji"))?;
        Ok(Self(known.as_str()))
    }

    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl Domain {
    /// Gives a message of the viewer's another text.
    pub async fn edit_message(&self, viewer: &Viewer, id: MessageId, text: &str) -> Result<()> {
        let text = &text::required("text", text, MAX_TEXT)?;
        let found = self.require_own_message(viewer, id).await?;
        let conversation = found.conversation();
        self.write(viewer.user, id.slot(), |tx| async move {
            let known = lock_present(&tx, conversation, id).await?;
            if known.text.as_ref() == Some(text) {
                return Ok(());
            }
            message::edit(&tx, id, text, next_change(&tx, conversation, Vec::new()).await?).await
        })
        .await
    }

    /// Takes a message of the viewer's away: its number stays, what it said goes. Again changes nothing.
    pub async fn delete_message(&self, viewer: &Viewer, id: MessageId) -> Result<()> {
        let found = self.require_own_message(viewer, id).await?;
        let conversation = found.conversation();
        self.write(viewer.user, id.slot(), |tx| async move {
            if lock(&tx, conversation, id).await?.deleted_at.is_some() {
                return Ok(());
            }
            message::mark_deleted(&tx, id, next_change(&tx, conversation, Vec::new()).await?).await
        })
        .await?;
        if found.media_ids.is_empty() {
            return Ok(());
        }
        // The images lie with the sender. Should this fail, they are kept though nothing shows them.
        let images = &found.media_ids;
        self.write(viewer.user, viewer.user.slot(), |tx| async move {
            media::release(&tx, conversation.uuid(), images).await
        })
        .await
    }

    /// Gives the viewer's reaction to a message, or takes it back; again changes nothing.
    pub async fn react_to_message(
        &self,
        viewer: &Viewer,
        id: MessageId,
        emoji: Emoji,
        on: bool,
    ) -> Result<()> {
        let found = self.require_message(Some(viewer), id).await?;
        let (user, conversation) = (viewer.user, found.conversation());
        self.write(user, id.slot(), |tx| async move {
            lock_present(&tx, conversation, id).await?;
            if !reaction::set(&tx, id, user, emoji.as_str(), on).await? {
                return Ok(());
            }
            if on && reaction::count_of(&tx, id, user).await? > MAX_REACTIONS {
                return Err(Error::Conflict("You have given as many reactions to this message as one may."));
            }
            message::touch(&tx, id, next_change(&tx, conversation, Vec::new()).await?).await
        })
        .await
    }

    /// The message, if the viewer may read its conversation.
    pub async fn require_message(
        &self,
        viewer: Option<&Viewer>,
        id: MessageId,
    ) -> Result<Arc<message::Model>> {
        let missing = Error::NotFound("message");
        let found = self.tables.messages.get(id).await?.ok_or(missing.clone())?;
        match self.require_conversation(viewer, found.conversation()).await {
            Ok(_) => Ok(found),
            Err(Error::NotFound(_)) => Err(missing),
            Err(error) => Err(error),
        }
    }

    async fn require_own_message(&self, viewer: &Viewer, id: MessageId) -> Result<Arc<message::Model>> {
        let found = self.require_message(Some(viewer), id).await?;
        if found.sender() != viewer.user {
            return Err(Error::Forbidden("Only its sender may change a message."));
        }
        Ok(found)
    }
}

/// The message as it is, with its conversation held.
async fn lock(tx: &Tx, conversation: ConversationId, id: MessageId) -> Result<message::Model> {
    conversation::lock(tx, conversation).await?;
    message::find(tx, id).await?.ok_or(Error::NotFound("message"))
}

/// The same; an error where it was deleted.
async fn lock_present(tx: &Tx, conversation: ConversationId, id: MessageId) -> Result<message::Model> {
    let known = lock(tx, conversation, id).await?;
    if known.deleted_at.is_some() { Err(Error::Conflict("The message was deleted.")) } else { Ok(known) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emoji_is_one_of_the_standards() {
        let parse = |text| Emoji::parse("emoji", text).map(Emoji::as_str);
        assert_eq!(parse("👍").expect("an emoji"), "👍");
        // Without its variation selector, and with it.
        assert_eq!(parse("❤").expect("an emoji"), parse("❤️").expect("an emoji"));
        assert!(parse("👩‍👩‍👧‍👦").is_ok() && parse("👍🏽").is_ok());
        for bad in ["", " ", "a", "👍👍", "like", "1", "👍 x", "\u{200d}"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
