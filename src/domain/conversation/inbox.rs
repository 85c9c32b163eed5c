//! Members' lists and logs follow their conversations.
//!
//! An event only says that there is something to take over, and who has left. What is taken over is read
//! from the conversation: the changes behind those that a member's log tells of already, and who takes
//! part. So events that are lost, repeated or out of order leave the same, each change is logged once, and
//! a log has the messages of a conversation in their order.

mod news;
mod write;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};

use crate::domain::Domain;
use crate::model::Result;
use crate::model::conversation::ConversationKind;
use crate::model::id::{ConversationId, UserId};
use crate::model::notification::Kind;
use crate::store::member::{Member, Membership, NewestMembers};
use crate::store::stream::{ChangesAfter, MAX_CHANGES, What};
use crate::store::{inbox, message};
use news::News;
pub(in crate::domain) use write::InboxWrite;

/// To how many members' lists the news of one event are brought at once.
const MEMBERS_AT_ONCE: usize = 64;

impl Domain {
    /// Brings the lists and logs of a conversation's members to where it stands; for the consumer of its
    /// events. `change` is the event's. May run twice, and in any order.
    pub async fn follow_conversation(&self, id: ConversationId, change: i64, left: &[UserId]) -> Result<()> {
        let mut after = change - 1;
        loop {
            let Some(news) = self.news(id, after, left).await? else {
                return self.take_out(id, left, change).await;
            };
            if news.is_read_in_group(change) {
                return Ok(());
            }
            let news = Arc::new(news);
            let next = news.changes.last().map(|last| last.change);
            let is_full = i64::try_from(news.changes.len()) == Ok(MAX_CHANGES);
            let writes: Vec<_> = news
                .members
                .keys()
                .map(|user| self.writes.inboxes.write(InboxWrite { user: *user, news: news.clone() }))
                .collect();
            let written: Vec<_> = stream::iter(writes).buffer_unordered(MEMBERS_AT_ONCE).collect().await;
            let gone = left.iter().filter(|user| !news.members.contains_key(user)).copied();
            self.take_out(id, &gone.collect::<Vec<_>>(), news.change()).await?;
            let behind = written.into_iter().map(|written| written.map(|(behind, _)| behind));
            let behind: Vec<Option<i64>> = behind.collect::<Result<_>>()?;
            after = match (behind.into_iter().flatten().min(), next) {
                (Some(behind), _) => behind,
                (None, Some(next)) if is_full => next,
                (None, _) => return Ok(()),
            };
        }
    }

    /// What a conversation tells behind the counter `after`; nothing where there is none any more.
    async fn news(&self, id: ConversationId, after: i64, left: &[UserId]) -> Result<Option<News>> {
        // First: what is then read of the changes and members is as new as the counter.
        let Some(standing) = self.tables.standings.get(id).await? else { return Ok(None) };
        let (changes, newest) = tokio::try_join!(
            self.tables.changes.get(ChangesAfter { conversation: id, after }),
            self.tables.newest_members.get(NewestMembers(id)),
        )?;
        let changes = changes.unwrap_or_default();
        let newest = newest.iter().flat_map(|newest| newest.iter());
        let mut members: HashMap<UserId, Member> = newest.map(|member| (member.user(), *member)).collect();
        let messages = changes.iter().filter_map(|changed| match &changed.what {
            What::Message(message) => Some(message),
            What::Read(_) => None,
        });
        // In a thread with more writers than inboxes, recent writers are notified as well.
        if standing.conversation.kind() == ConversationKind::Post {
            let others = messages.clone().map(|message| message.sender()).chain(left.iter().copied());
            members.extend(self.members_of(id, others.filter(|user| !members.contains_key(user))).await?);
        }
        let deleted = messages.filter(|message| message.deleted_at.is_some());
        let (deleted, senders): (Vec<i32>, Vec<UserId>) =
            deleted.map(|message| (message.seq, message.sender())).unzip();
        let remaining = if senders.is_empty() {
            Vec::new()
        } else {
            let read = async |connection| message::last_of_each(&connection, id, &senders).await;
            self.store.read(id.slot(), read).await?
        };
        Ok(Some(News { standing, changes, after, members, deleted, remaining }))
    }

    /// Those of these users who are members.
    async fn members_of(
        &self,
        conversation: ConversationId,
        users: impl Iterator<Item = UserId>,
    ) -> Result<Vec<(UserId, Member)>> {
        let asked: HashSet<Membership> = users.map(|user| Membership { conversation, user }).collect();
        let (found, errors) = self.tables.memberships.load(&asked.into_iter().collect::<Vec<_>>()).await;
        match errors.into_values().next() {
            Some(error) => Err(error),
            None => Ok(found.into_values().map(|member| (member.user(), *member)).collect()),
        }
    }

    /// Takes a conversation out of the lists of people who were no members when its counter stood at `change`,
    /// and then what notified them of it.
    pub(in crate::domain) async fn take_out(
        &self,
        id: ConversationId,
        users: &[UserId],
        change: i64,
    ) -> Result<()> {
        let leave = |tx, users: Vec<UserId>| async move { inbox::leave(&tx, id, &users, change).await };
        let left = self.store.scatter_tx(users.to_vec(), |user| user.slot(), leave).await;
        let left = left.into_iter().collect::<Result<Vec<_>>>()?.concat();
        let gone = left.into_iter().map(|user| (user, Kind::Message, id.uuid()));
        self.withdraw_notifications(gone.collect()).await
    }
}
