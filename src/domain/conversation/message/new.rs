//! A message to be sent, and where it goes.

use serde::Serialize;

use crate::domain::text;
use crate::model::id::{ConversationId, MediaId, MessageId, PostId, Slot, UserId};
use crate::model::{Error, Result};
use crate::store::{Tx, conversation, member};

/// The most characters in a message.
pub const MAX_TEXT: usize = 4000;
/// The most images in a message.
pub const MAX_MEDIA: usize = 10;

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
    pub(super) fn slot(self, sender: UserId) -> Slot {
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
pub(in crate::domain) enum Room {
    Members(ConversationId),
    Direct(UserId, UserId),
    Thread(PostId),
}

impl Room {
    pub(in crate::domain) fn direct(one: UserId, other: UserId) -> Self {
        Self::Direct(one.min(other), one.max(other))
    }

    pub(in crate::domain) fn slot(self) -> Slot {
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
    pub(in crate::domain) async fn enter(self, tx: &Tx, writer: UserId) -> Result<ConversationId> {
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
