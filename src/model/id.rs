//! Ids that route themselves.
//!
//! Every id is a `UUIDv7` (RFC 9562, section 5.7) whose free bits say where and what the row is:
//!
//! ```text
//! 48 bits unix ms | 4 bits version 7 | 12 bits slot | 2 bits variant | 5 bits kind | 57 bits random
//! ```
//!
//! `slot_of(uuid)` in SQL reads the same twelve bits.

use std::fmt;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Clock, Error};

/// How many slots the key space has. Fixed for the life of a cluster: it is part of every id.
pub const SLOTS: u16 = 4096;

/// A part of the key space, `0..SLOTS`; the shard map says which shard owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The slot with this number, if there is one.
    pub const fn new(number: u16) -> Option<Self> {
        if number < SLOTS { Some(Self(number)) } else { None }
    }

    /// An evenly drawn slot, for a new user.
    pub fn random() -> Self {
        Self(rand::random_range(0..SLOTS))
    }

    /// The slot of something that is found by its text (a claim, a hashtag) or by a pair of ids.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let digest = Sha256::digest(bytes);
        Self(u16::from_be_bytes([digest[0], digest[1]]) % SLOTS)
    }

    pub const fn number(self) -> u16 {
        self.0
    }

    /// As it is stored in `smallint` columns.
    pub fn column(self) -> i16 {
        i16::try_from(self.0).expect("a slot has twelve bits")
    }
}

/// What an id names. Five bits of the id; numbers are never used again for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    User = 1,
    Session = 2,
    Post = 3,
    Media = 4,
    Comment = 5,
    Conversation = 6,
    Message = 7,
    Notification = 8,
    Event = 9,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::User,
        Self::Session,
        Self::Post,
        Self::Media,
        Self::Comment,
        Self::Conversation,
        Self::Message,
        Self::Notification,
        Self::Event,
    ];

    /// The kind in an id's bits; `None` for an id that Fowergram did not make.
    pub fn of(id: Uuid) -> Option<Self> {
        let bytes = id.as_bytes();
        if bytes[6] >> 4 != 7 || bytes[8] >> 6 != 0b10 {
            return None;
        }
        let number = (bytes[8] >> 1) & 0b1_1111;
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

/// Makes an id of this kind in this slot, at this moment.
pub fn make(clock: &Clock, kind: Kind, slot: Slot) -> Uuid {
    let mut bytes: [u8; 16] = rand::random();
    let millis = clock.unix_millis().to_be_bytes();
    bytes[..6].copy_from_slice(&millis[2..]);
    bytes[6..8].copy_from_slice(&(0x7000 | slot.0).to_be_bytes());
    bytes[8] = 0x80 | ((kind as u8) << 1) | (bytes[8] & 1);
    Uuid::from_bytes(bytes)
}

/// The slot in an id's bits.
pub fn slot_of(id: Uuid) -> Slot {
    let bytes = id.as_bytes();
    Slot(u16::from_be_bytes([bytes[6] & 0x0f, bytes[7]]))
}

/// Milliseconds since 1970 at which the id was made.
pub fn millis_of(id: Uuid) -> i64 {
    let bytes = id.as_bytes();
    let mut wide = [0; 8];
    wide[2..].copy_from_slice(&bytes[..6]);
    i64::from_be_bytes(wide)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $kind:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "Uuid", into = "Uuid")]
        pub struct $name(Uuid);

        impl $name {
            pub const KIND: Kind = Kind::$kind;

            /// A new id in this slot.
            pub fn make(clock: &Clock, slot: Slot) -> Self {
                Self(make(clock, Self::KIND, slot))
            }

            /// An id that came out of the database, where only ids of this kind are written.
            pub const fn from_row(id: Uuid) -> Self {
                Self(id)
            }

            /// Reads an id that a client sent. An id of another kind names nothing here, which is an
            /// input error and not a missing row.
            pub fn parse(field: &'static str, text: &str) -> Result<Self, Error> {
                Uuid::try_parse(text.trim())
                    .ok()
                    .and_then(|id| Self::try_from(id).ok())
                    .ok_or_else(|| Error::invalid(field, concat!("is not the id of a ", stringify!($kind))))
            }

            pub const fn uuid(self) -> Uuid {
                self.0
            }

            pub fn slot(self) -> Slot {
                slot_of(self.0)
            }
        }

        impl TryFrom<Uuid> for $name {
            type Error = &'static str;

            fn try_from(id: Uuid) -> Result<Self, Self::Error> {
                match Kind::of(id) {
                    Some(kind) if kind == Self::KIND => Ok(Self(id)),
                    _ => Err(concat!("not the id of a ", stringify!($kind))),
                }
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    )*};
}

ids! {
    /// An account. Its slot is drawn evenly at sign-up.
    UserId = User;
    /// A sign-in on one device; in its user's slot.
    SessionId = Session;
    /// A post; in its author's slot.
    PostId = Post;
    /// An uploaded image; in its owner's slot.
    MediaId = Media;
    /// A comment or reply; in its post's slot.
    CommentId = Comment;
    /// A direct, group or per-post conversation.
    ConversationId = Conversation;
    /// A message; in its conversation's slot.
    MessageId = Message;
    /// A notification; in its receiver's slot.
    NotificationId = Notification;
    /// An outbox event; in the slot of the row that caused it.
    EventId = Event;
}

impl ConversationId {
    /// The thread of a post: the post's id with the other kind, so that finding it needs no look-up
    /// and two racing first messages meet in one row.
    pub fn of_post(post: PostId) -> Self {
        let mut bytes = *post.uuid().as_bytes();
        bytes[8] = 0x80 | ((Kind::Conversation as u8) << 1) | (bytes[8] & 1);
        Self(Uuid::from_bytes(bytes))
    }

    /// The post whose thread this would be. Only a post that exists makes it one.
    pub fn as_thread_of(self) -> PostId {
        let mut bytes = *self.0.as_bytes();
        bytes[8] = 0x80 | ((Kind::Post as u8) << 1) | (bytes[8] & 1);
        PostId(Uuid::from_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_slot_kind_and_time() {
        let clock = Clock::system();
        let before = clock.unix_millis();
        for number in [0, 1, 255, 256, 2048, 4095] {
            let slot = Slot::new(number).expect("a slot");
            let id = PostId::make(&clock, slot);
            assert_eq!(id.slot(), slot);
            assert_eq!(Kind::of(id.uuid()), Some(Kind::Post));
            assert_eq!(id.uuid().get_version_num(), 7);
            assert_eq!(id.uuid().get_variant(), uuid::Variant::RFC4122);
            assert!((before..=clock.unix_millis()).contains(&millis_of(id.uuid())));
        }
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let clock = Clock::system();
        let post = PostId::make(&clock, Slot::random());
        assert!(UserId::parse("id", &post.to_string()).is_err());
        assert!(PostId::parse("id", &Uuid::new_v4().to_string()).is_err());
        assert!(PostId::parse("id", "").is_err());
        assert_eq!(PostId::parse("id", &post.to_string()).expect("its own kind"), post);
    }

    #[test]
    fn a_post_names_its_thread() {
        let post = PostId::make(&Clock::system(), Slot::new(77).expect("a slot"));
        let thread = ConversationId::of_post(post);
        assert_eq!(thread.slot(), post.slot());
        assert_eq!(Kind::of(thread.uuid()), Some(Kind::Conversation));
        assert_eq!(thread.as_thread_of(), post);
    }

    #[test]
    fn drawn_slots_are_even() {
        use rand::{RngExt, SeedableRng};
        let mut random = rand::rngs::StdRng::seed_from_u64(7);
        let mut shards = [0_u32; 4];
        for _ in 0..10_000 {
            shards[usize::from(random.random_range(0..SLOTS) / (SLOTS / 4))] += 1;
        }
        for count in shards {
            assert!((2375..=2625).contains(&count), "{shards:?}");
        }
    }
}
