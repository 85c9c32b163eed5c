//! A member's list of conversations. A page is read in four steps: skeleton (the member's entries), hydrate
//! (each table once), policy (what the member may see), present.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::future::join4;

use super::Domain;
use super::account::Viewer;
use super::policy::{VisiblePost, sees_post, sees_user};
use crate::model::id::{ConversationId, PostId, UserId};
use crate::model::page::{Page, Place, Slice};
use crate::model::{Error, Result};
use crate::store::member::{FirstMembers, Member, Membership};
use crate::store::message::LastMessage;
use crate::store::{Away, conversation, inbox, message, user};

/// How often a page is filled up, where the viewer may see less than was read.
const MAX_READS: usize = 5;

/// Users by id.
pub type People = HashMap<UserId, Arc<user::Model>>;

/// What of each conversation is wanted together with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    pub last_message: bool,
    /// How many of the members who joined first; 0 for none.
    pub members: usize,
}

/// One conversation in a list. What was not wanted, or could not be read, is absent.
#[derive(Debug, Clone)]
pub struct Listed {
    pub conversation: Arc<conversation::Model>,
    pub entry: Arc<inbox::Model>,
    /// The post whose thread it is.
    pub post: Option<VisiblePost>,
    pub members: Option<Arc<Vec<Member>>>,
    /// None inside of it: nobody has written.
    pub last_message: Option<Option<Arc<message::Model>>>,
    /// The members and senders on the page whom the viewer may see.
    pub people: Arc<People>,
}

/// A page of a list of conversations.
#[derive(Debug)]
pub struct ConversationPage {
    /// Null stands for what can't be read now. What the viewer has left or may not see is left out, and the page
    /// filled up; where too much of it comes in a row, one null carries the cursor on.
    pub conversations: Slice<(Place, Option<Listed>)>,
    /// In how many conversations of the list, on this page or not, there is something unread.
    pub unread: i64,
    /// A shard that could not be read.
    pub away: Option<Error>,
}

/// The rows behind a page.
struct Rows {
    conversations: HashMap<ConversationId, Arc<conversation::Model>>,
    /// Those in which the viewer takes part.
    own: HashSet<ConversationId>,
    members: HashMap<FirstMembers, Arc<Vec<Member>>>,
    messages: HashMap<LastMessage, Arc<message::Model>>,
    /// Of which nothing could be read.
    no_messages: Away<LastMessage>,
    posts: HashMap<PostId, VisiblePost>,
    people: Arc<People>,
    away: Option<Error>,
    /// What can't be shown because a shard could not be read.
    unreadable: HashSet<ConversationId>,
}

impl Domain {
    /// A page of the viewer's conversations, the archived ones or the others; the one with the newest message
    /// first.
    pub async fn conversations(
        &self,
        viewer: &Viewer,
        page: &Page,
        archived: bool,
        wanted: Wanted,
    ) -> Result<ConversationPage> {
        let (mut listed, mut unread, mut away) = (Vec::new(), None, None);
        let mut next = *page;
        for round in 1..=MAX_READS {
            let read = async |connection| inbox::page(&connection, viewer.user, &next, archived).await;
            let found = self.store.read(viewer.user.slot(), read).await?;
            let unread = unread.get_or_insert(found.unread);
            let is_end = found.entries.len() <= next.size as usize;
            let ids: Vec<ConversationId> = found.entries.iter().map(inbox::Model::conversation).collect();
            let rows = self.rows_behind(viewer, &ids, wanted).await;
            let mut last = None;
            for entry in found.entries {
                let place = Place::moment(entry.last_message_at, entry.conversation_id);
                let (id, was_unread) = (entry.conversation(), entry.unread() > 0);
                let shown = rows.present(entry, wanted);
                let is_unread = match &shown {
                    Some(shown) => shown.entry.unread() > 0,
                    None => was_unread && rows.unreadable.contains(&id),
                };
                *unread += i64::from(is_unread) - i64::from(was_unread);
                if shown.is_some() || rows.unreadable.contains(&id) {
                    listed.push((place, shown));
                }
                last = Some(place);
            }
            away = away.or(rows.away);
            let Some(last) = last.filter(|_| !is_end && listed.len() <= page.size as usize) else { break };
            next.after = Some(last);
            if round == MAX_READS {
                // Another page goes on from here.
                listed.truncate((page.size as usize).saturating_sub(1));
                listed.push((last, None));
                let conversations =
                    Slice { items: listed, has_next: true, has_previous: page.after.is_some() };
                return Ok(ConversationPage { conversations, unread: *unread, away });
            }
        }
        let conversations = Slice::cut(listed, page);
        Ok(ConversationPage { conversations, unread: unread.unwrap_or(0), away })
    }

    /// Hydrate, and policy: each table of each shard is asked once.
    async fn rows_behind(&self, viewer: &Viewer, ids: &[ConversationId], wanted: Wanted) -> Rows {
        let of = |is_wanted: bool| ids.iter().copied().filter(move |_| is_wanted);
        let members: Vec<FirstMembers> = of(wanted.members > 0).map(FirstMembers).collect();
        let messages: Vec<LastMessage> = of(wanted.last_message).map(LastMessage).collect();
        // Whether the viewer is still in it: the list may not have followed yet.
        let own = |conversation| Membership { conversation, user: viewer.user };
        let asked: Vec<Membership> = of(wanted.members == 0).map(own).collect();
        let ((conversations, away), (members, no_members), (messages, no_messages), (own, no_own)) = join4(
            self.tables.conversations.load(ids),
            self.tables.first_members.load(&members),
            self.tables.last_messages.load(&messages),
            self.tables.memberships.load(&asked),
        )
        .await;
        let is_own = |of: &Arc<Vec<Member>>| of.iter().any(|member| member.user() == viewer.user);
        let by_members = members.iter().filter(|(_, of)| is_own(of)).map(|(first, _)| first.0);
        let own: HashSet<ConversationId> =
            own.into_keys().map(|key| key.conversation).chain(by_members).collect();
        let posts: Vec<PostId> = conversations.values().filter_map(|row| row.post()).collect();
        let (posts, no_posts) = self.tables.posts.load(&posts).await;
        let mut people: Vec<UserId> = posts.values().map(|post| post.author()).collect();
        people.extend(messages.values().map(|message| message.sender()));
        people.extend(members.values().flat_map(|of| of.iter().take(wanted.members)).map(Member::user));
        people.sort_unstable();
        people.dedup();
        let (mut people, no_people) = self.tables.users.load(&people).await;
        let viewer = Some(viewer);
        let mut unreadable: HashSet<ConversationId> = away.keys().copied().collect();
        unreadable.extend(no_members.keys().map(|first| first.0));
        unreadable.extend(no_own.keys().map(|own| own.conversation));
        unreadable.extend(no_posts.keys().copied().map(ConversationId::of_post));
        let no_author = posts.values().filter(|post| no_people.contains_key(&post.author()));
        unreadable.extend(no_author.map(|post| ConversationId::of_post(post.id())));
        let visible = posts.into_iter().filter_map(|(id, post)| {
            let author = people.get(&post.author())?.clone();
            sees_post(viewer, &post, &author).then_some((id, VisiblePost { post, author }))
        });
        let posts = visible.collect();
        people.retain(|_, user| sees_user(viewer, user));
        let away = away.into_values().chain(no_posts.into_values()).chain(no_people.into_values());
        let away = away.chain(no_members.into_values()).chain(no_own.into_values()).next();
        let people = Arc::new(people);
        Rows { conversations, own, members, messages, no_messages, posts, people, away, unreadable }
    }
}

impl Rows {
    fn present(&self, mut entry: inbox::Model, wanted: Wanted) -> Option<Listed> {
        let id = entry.conversation();
        let conversation = self.conversations.get(&id)?.clone();
        let post = match conversation.post() {
            Some(post) => Some(self.posts.get(&post)?.clone()),
            None if self.own.contains(&id) => None,
            None => return None,
        };
        let (first, last) = (FirstMembers(id), LastMessage(id));
        let members = self.members.get(&first).cloned();
        let last_message = (wanted.last_message && !self.no_messages.contains_key(&last))
            .then(|| self.messages.get(&last).cloned());
        // The list may not have followed yet: the number of unread messages is that of the message shown.
        if let Some(Some(last)) = &last_message
            && last.seq > entry.last_seq
        {
            entry.last_seq = last.seq;
            if last.sender_id == entry.user_id {
                entry.read_seq = entry.read_seq.max(last.seq);
            }
        }
        let people = self.people.clone();
        Some(Listed { conversation, entry: Arc::new(entry), post, members, last_message, people })
    }
}
