//! Members' lists and logs follow their conversations.
//!
//! An event only says that there is something to take over, and who has left. What is taken over is read
//! from the conversation: the changes behind those that a member's log tells of already, and who takes
//! part. So events that are lost, repeated or out of order leave the same, each change is logged once, and
//! a log has the messages of a conversation in their order.

use std::collections::HashMap;

use super::message::MAX_INBOXES;
use crate::domain::Domain;
use crate::model::Result;
use crate::model::conversation::ConversationKind;
use crate::model::event::Event;
use crate::model::id::{ConversationId, UserId};
use crate::model::notification::Kind;
use crate::model::stream::LogTopic;
use crate::store::conversation::{self, Standing};
use crate::store::inbox::{self, Known, Update};
use crate::store::log::{self, Entry};
use crate::store::member::{self, Member};
use crate::store::notification;
use crate::store::stream::{self, Changed, What};
use crate::store::{Tx, message};

/// How many changes of a conversation are taken over at once.
const MAX_CHANGES: i64 = 500;

/// What a conversation has to say to its members.
struct News {
    standing: Standing,
    /// All changes behind `after`, or as many as are taken at once.
    changes: Vec<Changed>,
    after: i64,
    members: HashMap<UserId, Member>,
    /// The deleted ones among the changes, and the last message that is left of each of their senders.
    deleted: Vec<i32>,
    left: Vec<message::LastOf>,
}

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
            let news = &news;
            let next = news.changes.last().map(|last| last.change);
            let is_full = i64::try_from(news.changes.len()) == Ok(MAX_CHANGES);
            let users: Vec<UserId> = news.members.keys().copied().collect();
            let take_over = |tx, users: Vec<UserId>| async move { take_over(&tx, news, &users).await };
            let taken = self.store.scatter_tx(users, |user| user.slot(), take_over).await;
            let gone = left.iter().filter(|user| !news.members.contains_key(user)).copied();
            self.take_out(id, &gone.collect::<Vec<_>>(), news.change()).await?;
            let behind: Vec<Option<i64>> = taken.into_iter().collect::<Result<_>>()?;
            after = match (behind.into_iter().flatten().min(), next) {
                (Some(behind), _) => behind,
                (None, Some(next)) if is_full => next,
                (None, _) => return Ok(()),
            };
        }
    }

    /// What a conversation tells behind the counter `after`; nothing where there is none any more.
    async fn news(&self, id: ConversationId, after: i64, left: &[UserId]) -> Result<Option<News>> {
        self.store
            .read(id.slot(), async |connection| {
                // In this order: what is then read of the changes and members is as new as the counter.
                let Some(standing) = conversation::standing(&connection, id).await? else { return Ok(None) };
                let changes = stream::changes_after(&connection, id, after, MAX_CHANGES).await?;
                let senders = changes.iter().filter_map(|changed| match &changed.what {
                    What::Message(message) => Some(message.sender()),
                    What::Read(_) => None,
                });
                // In a thread with more writers than inboxes, recent writers are notified as well.
                let also: Vec<UserId> = senders.chain(left.iter().copied()).collect();
                let members = member::newest_and(&connection, id, MAX_INBOXES, &also).await?;
                let members = members.into_iter().map(|member| (member.user(), member)).collect();
                let gone = changes.iter().filter_map(|changed| match &changed.what {
                    What::Message(message) if message.deleted_at.is_some() => Some(message),
                    What::Message(_) | What::Read(_) => None,
                });
                let (deleted, senders): (Vec<i32>, Vec<UserId>) =
                    gone.map(|message| (message.seq, message.sender())).unzip();
                let left = message::last_of_each(&connection, id, &senders).await?;
                Ok(Some(News { standing, changes, after, members, deleted, left }))
            })
            .await
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

/// Takes over the news for these members, all of one shard. From where on the changes must be read again, for
/// those who were told of less than was read.
async fn take_over(tx: &Tx, news: &News, users: &[UserId]) -> Result<Option<i64>> {
    log::lock(tx, users).await?;
    let known = inbox::known(tx, news.id(), users).await?;
    let known: HashMap<UserId, Known> =
        known.into_iter().map(|known| (UserId::from_row(known.user_id), known)).collect();
    let (mut updates, mut entries, mut behind) = (Vec::new(), Vec::new(), None);
    for user in users {
        let (Some(member), known) = (news.members.get(user), known.get(user)) else { continue };
        // They have left since, and perhaps rejoined: the event of that covers it.
        if known.is_some_and(|known| known.change > news.change()) {
            continue;
        }
        let logged = news.logged(member, known);
        if logged < news.after {
            behind = Some(behind.map_or(logged, |behind: i64| behind.min(logged)));
            continue;
        }
        entries.extend(news.entries(*user, logged));
        updates.push(news.update(member, known, logged));
    }
    inbox::bring(tx, news.id(), &updates, &news.deleted).await?;
    if !news.deleted.is_empty() {
        let users: Vec<UserId> = updates.iter().map(|update| update.user).collect();
        notification::withdraw_messages(tx, news.id(), &users, (&news.deleted, &news.left)).await?;
    }
    for (user, n) in log::append(tx, &entries).await? {
        tx.emit(&Event::ReceiverLogged { user, n })?;
    }
    Ok(behind)
}

impl News {
    fn id(&self) -> ConversationId {
        self.standing.conversation.id()
    }

    fn change(&self) -> i64 {
        self.standing.conversation.change
    }

    /// Whether the change with this number says how far somebody has read in a group: of that no list or log
    /// tells the others.
    fn is_read_in_group(&self, change: i64) -> bool {
        let first = self.changes.first().filter(|first| first.change == change);
        self.standing.conversation.kind() == ConversationKind::Group
            && first.is_some_and(|first| matches!(first.what, What::Read(_)))
    }

    /// Up to which change the member's log covers the conversation.
    fn logged(&self, member: &Member, known: Option<&Known>) -> i64 {
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
    fn entries(&self, user: UserId, logged: i64) -> impl Iterator<Item = Entry> {
        let is_direct = self.standing.conversation.kind() == ConversationKind::Direct;
        self.newer_than(logged).filter_map(move |changed| match &changed.what {
            What::Message(message) => {
                let is_new = changed.change == message.sent_change;
                let version = if is_new { changed.change - 1 } else { logged.max(message.sent_change) };
                Some(Entry { user, topic: LogTopic::Message, about: message.id, actor: None, version })
            }
            What::Read(marker) if is_direct && marker.user != user => Some(Entry {
                user,
                topic: LogTopic::Read,
                about: self.standing.conversation.id,
                actor: Some(marker.user),
                version: marker.seq.into(),
            }),
            What::Read(_) => None,
        })
    }

    /// How a member's list stands behind the news.
    fn update(&self, member: &Member, known: Option<&Known>, logged: i64) -> Update {
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
            last_seq: newest.map_or(0, |message| message.seq).max(self.standing.last_seq),
            last_message_at: at.unwrap_or(member.joined_at),
            read_seq: member.read_seq.max(own).max(before),
            change: self.change(),
            logged_change: logged.max(newest_change),
        }
    }
}
