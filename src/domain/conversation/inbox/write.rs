//! Bringing news to members' lists and logs: those of several conversations and members in one transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::news::News;
use crate::model::Result;
use crate::model::event::Event;
use crate::model::id::{ConversationId, Slot, UserId};
use crate::store::group_commit::GroupWrite;
use crate::store::inbox::{self, Known, Update};
use crate::store::log;
use crate::store::{Tx, notification};

/// A member's list and log, brought to a conversation's news.
pub(in crate::domain) struct InboxWrite {
    pub(super) user: UserId,
    pub(super) news: Arc<News>,
}

impl GroupWrite for InboxWrite {
    /// From which change on the news must be read again, if the member was told of less than was read.
    type Made = Option<i64>;

    fn slot(&self) -> Slot {
        self.user.slot()
    }

    async fn write(tx: &Tx, writes: &[Self]) -> Result<Vec<Result<Option<i64>>>> {
        log::lock(tx, writes.iter().map(|write| write.user)).await?;
        let asked: BTreeSet<(UserId, ConversationId)> = writes.iter().map(Self::key).collect();
        let known = inbox::known(tx, &asked.into_iter().collect::<Vec<_>>()).await?;
        let mut lists = Lists { known, updates: BTreeMap::new(), entries: Vec::new() };
        // What is read from further back comes first, so that fewer are behind.
        let mut places: Vec<usize> = (0..writes.len()).collect();
        places.sort_by_key(|place| writes[*place].news.after);
        let mut behind = vec![Ok(None); writes.len()];
        let mut deletions: Vec<(&Arc<News>, Vec<UserId>)> = Vec::new();
        for place in places {
            let write = &writes[place];
            match lists.bring(write) {
                Brought::Behind(logged) => behind[place] = Ok(Some(logged)),
                Brought::Updated if !write.news.deleted.is_empty() => {
                    match deletions.iter_mut().find(|(news, _)| Arc::ptr_eq(news, &write.news)) {
                        Some((_, users)) => users.push(write.user),
                        None => deletions.push((&write.news, vec![write.user])),
                    }
                }
                Brought::Updated | Brought::Outdated => {}
            }
        }
        inbox::bring(tx, &lists.updates.into_values().collect::<Vec<_>>()).await?;
        for (news, users) in deletions {
            let messages = (news.deleted.as_slice(), news.remaining.as_slice());
            notification::withdraw_messages(tx, news.id(), &users, messages).await?;
        }
        for (user, n) in log::append(tx, &lists.entries).await? {
            tx.emit_in(user.slot(), &Event::ReceiverLogged { user, n })?;
        }
        Ok(behind)
    }
}

impl InboxWrite {
    fn key(&self) -> (UserId, ConversationId) {
        (self.user, self.news.id())
    }
}

/// Members' entries for conversations, as a group of writes changes them.
struct Lists {
    known: HashMap<(UserId, ConversationId), Known>,
    updates: BTreeMap<(UserId, ConversationId), Update>,
    entries: Vec<log::Entry>,
}

enum Brought {
    Updated,
    /// The list is of a later time.
    Outdated,
    /// The member's log covers the conversation only up to this change.
    Behind(i64),
}

impl Lists {
    fn bring(&mut self, write: &InboxWrite) -> Brought {
        let (key, news) = (write.key(), &*write.news);
        let (Some(member), known) = (news.members.get(&write.user), self.known.get(&key)) else {
            return Brought::Outdated;
        };
        // They have left since, and perhaps rejoined: the event of that covers it.
        if known.is_some_and(|known| known.change > news.change()) {
            return Brought::Outdated;
        }
        let logged = news.logged(member, known);
        if logged < news.after {
            return Brought::Behind(logged);
        }
        self.entries.extend(news.entries(write.user, logged));
        let update = news.update(member, known, logged);
        let now = Known { change: update.change, logged_change: Some(update.logged_change), is_in: true };
        self.known.insert(key, now);
        match self.updates.get_mut(&key) {
            Some(before) => before.merge(update),
            None => {
                self.updates.insert(key, update);
            }
        }
        Brought::Updated
    }
}
