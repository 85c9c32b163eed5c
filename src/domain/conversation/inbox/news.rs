//! What a conversation has to say to its members, and what follows for each.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::conversation::ConversationKind;
use crate::model::id::{ConversationId, UserId};
use crate::model::stream::LogTopic;
use crate::store::conversation::Standing;
use crate::store::inbox::{Known, Update};
use crate::store::log::Entry;
use crate::store::member::Member;
use crate::store::message;
use crate::store::stream::{Changed, MAX_CHANGES, What};

/// What a conversation has to say to its members.
pub(super) struct News {
    pub standing: Arc<Standing>,
    /// All changes after `after`, or as many as are taken at once.
    pub changes: Arc<Vec<Changed>>,
    pub after: i64,
    pub members: HashMap<UserId, Member>,
    /// The numbers of the deleted ones among the changes, and the last message that is left of each of their senders.
    pub deleted: Vec<i32>,
    pub remaining: Vec<message::LastOf>,
}

impl News {
    pub fn id(&self) -> ConversationId {
        self.standing.conversation.id()
    }

    pub fn change(&self) -> i64 {
        self.standing.conversation.change
    }

    /// Whether the change with this number says how far somebody has read in a group: of that no list or log
    /// tells the others.
    pub fn is_read_in_group(&self, change: i64) -> bool {
        let first = self.changes.first().filter(|first| first.change == change);
        self.standing.conversation.kind() == ConversationKind::Group
            && first.is_some_and(|first| matches!(first.what, What::Read(_)))
    }

    /// Up to which change the member's log covers the conversation.
    pub fn logged(&self, member: &Member, known: Option<&Known>) -> i64 {
        let logged = match known {
            Some(known) if known.is_in => known.logged_change,
            _ => member.joined_change,
        };
        // In a thread with more writers than inboxes, old messages are not delivered.
        let is_thread = self.standing.conversation.kind() == ConversationKind::Post;
        logged.filter(|logged| !is_thread || *logged >= self.after - MAX_CHANGES).unwrap_or(self.after)
    }

    fn newer_than(&self, change: i64) -> impl Iterator<Item = &Changed> {
        self.changes.iter().filter(move |changed| changed.change > change)
    }

    /// What to deliver to a member: the messages, and, where there is one, how far the other has read.
    pub fn entries(&self, user: UserId, logged: i64) -> impl Iterator<Item = Entry> {
        let is_direct = self.standing.conversation.kind() == ConversationKind::Direct;
        self.newer_than(logged).filter_map(move |changed| match &changed.what {
            What::Message(message) => {
                let is_new = changed.change == message.sent_change;
                let version = if is_new { changed.change - 1 } else { logged.max(message.sent_change) };
                Some(Entry {
                    user,
                    topic: LogTopic::Message,
                    about: message.id,
                    actor: None,
                    version,
                    event: None,
                })
            }
            What::Read(marker) if is_direct && marker.user != user => Some(Entry {
                user,
                topic: LogTopic::Read,
                about: self.standing.conversation.id,
                actor: Some(marker.user),
                version: marker.seq.into(),
                event: None,
            }),
            What::Read(_) => None,
        })
    }

    /// How a member's list stands behind the news.
    pub fn update(&self, member: &Member, known: Option<&Known>, logged: i64) -> Update {
        let messages: Vec<&message::Model> = self
            .newer_than(logged)
            .filter_map(|changed| match &changed.what {
                What::Message(message) => Some(&**message),
                What::Read(_) => None,
            })
            .collect();
        let sent = || messages.iter().filter(|message| message.sent_change > logged);
        let newest = sent().max_by_key(|message| message.seq);
        // A writer has read everything; a new member has nothing to read yet.
        let own = messages.iter().filter(|message| message.sender_id == member.user_id);
        let own = own.map(|message| message.seq).max().unwrap_or(0);
        let is_new = !known.is_some_and(|known| known.is_in) && member.joined_change.is_some();
        let before = if is_new {
            sent().map(|message| message.seq - 1).min().unwrap_or(self.standing.last_seq)
        } else {
            0
        };
        // In the list of who comes, the conversation is as new as that.
        let known_at = self.standing.last_message_at.filter(|_| !is_new);
        let at = newest.map(|message| message.created_at).or(known_at);
        let newest_change = self.changes.last().map_or(0, |last| last.change);
        Update {
            user: member.user(),
            conversation: self.id(),
            last_seq: newest.map_or(0, |message| message.seq).max(self.standing.last_seq),
            last_message_at: at.unwrap_or(member.joined_at),
            read_seq: member.read_seq.max(own).max(before),
            change: self.change(),
            logged_change: logged.max(newest_change),
            deleted: self.deleted.clone(),
        }
    }
}
