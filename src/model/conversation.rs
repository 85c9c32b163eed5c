//! What a conversation is, as it is stored.

/// The most people in a group.
pub const MAX_MEMBERS: i64 = 256;
/// To how many inboxes a message goes at most: of a long thread, those who joined last.
pub const MAX_INBOXES: i64 = 500;

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
