//! A member's list of conversations. A page is read in four steps: skeleton (the member's entries), hydrate
//! (each table once), policy (what the member may see), present.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join4;

use crate::domain::Domain;
use crate::domain::fill::{FilledPage, Filling, Seen};
use crate::domain::policy::{VisiblePost, sees_user};
use crate::domain::viewer::Viewer;
use crate::model::id::{ConversationId, PostId, UserId};
use crate::model::page::{Page, Place};
use crate::model::{Error, Result};
use crate::store::member::{FirstMembers, Member, Membership};
use crate::store::message::LastMessage;
use crate::store::{LoadErrors, conversation, inbox, message, user};

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
    /// The inner `None`: there is no message yet.
    pub last_message: Option<Option<Arc<message::Model>>>,
    /// The members and senders on the page whom the viewer may see.
    pub people: Arc<People>,
}

/// A page of a list of conversations. What the viewer has left or may not see is left out.
#[derive(Debug)]
pub struct ConversationPage {
    pub page: FilledPage<Listed>,
    /// In how many conversations of the list, on this page or not, there is something unread.
    pub unread: i64,
}

/// The rows behind a page.
struct Rows {
    conversations: HashMap<ConversationId, Arc<conversation::Model>>,
    /// The viewer's own memberships.
    own: HashMap<ConversationId, Member>,
    members: HashMap<FirstMembers, Arc<Vec<Member>>>,
    messages: HashMap<LastMessage, Arc<message::Model>>,
    /// Of which nothing could be read.
    no_messages: LoadErrors<LastMessage>,
    posts: HashMap<PostId, VisiblePost>,
    people: Arc<People>,
    /// Conversations that can't be shown because a shard could not be read.
    unavailable: LoadErrors<ConversationId>,
    away: Option<Error>,
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
        let mut filling = Filling::of(page);
        let (mut unread, mut away, mut others) = (None, None, Vec::new());
        while let Some(page) = filling.wanted() {
            let read = async |connection| inbox::page(&connection, viewer.user, &page, archived).await;
            let found = self.store.read(viewer.user.slot(), read).await?;
            let listed: Vec<_> = found.entries.iter().map(inbox::Model::conversation).collect();
            // What is hidden is not counted, whether it is on the page or not.
            let is_first = unread.is_none();
            if is_first {
                others = found.unread_ids;
                others.retain(|id| !listed.contains(id));
            }
            let asked: &[ConversationId] = if is_first { &others } else { &[] };
            let rows = self.rows_behind(viewer, &listed, asked, wanted).await;
            let unread = unread.get_or_insert(found.unread);
            *unread -= asked.iter().map(|id| i64::from(rows.is_hidden(*id))).sum::<i64>();
            let see = |entry: inbox::Model| {
                let place = Place::moment(entry.last_message_at, entry.conversation_id);
                let (id, was_unread) = (entry.conversation(), entry.unread() > 0);
                let seen = rows.see(entry, wanted);
                let is_unread = match &seen {
                    Seen::Visible(shown) => shown.entry.unread() > 0,
                    Seen::Unavailable(_) => was_unread,
                    // That of the others was taken off already.
                    Seen::Hidden => was_unread && others.contains(&id),
                };
                *unread += i64::from(is_unread) - i64::from(was_unread);
                (place, seen)
            };
            filling.add(found.entries.into_iter().map(see).collect());
            away = away.or(rows.away);
        }
        let mut page = filling.finish();
        page.unavailable = page.unavailable.or(away);
        Ok(ConversationPage { page, unread: unread.unwrap_or(0) })
    }

    /// Hydrate, and policy: each table of each shard is asked once. Of the `others` only whether the viewer may
    /// see them.
    async fn rows_behind(
        &self,
        viewer: &Viewer,
        listed: &[ConversationId],
        others: &[ConversationId],
        wanted: Wanted,
    ) -> Rows {
        let of = |is_wanted: bool| listed.iter().copied().filter(move |_| is_wanted);
        let members: Vec<FirstMembers> = of(wanted.members > 0).map(FirstMembers).collect();
        let messages: Vec<LastMessage> = of(wanted.last_message).map(LastMessage).collect();
        // Whether the viewer is still in it: the list may not have followed yet.
        let own = |conversation| Membership { conversation, user: viewer.user };
        let asked = of(wanted.members == 0).chain(others.iter().copied()).map(own);
        let (all, asked): (Vec<_>, Vec<_>) = ([listed, others].concat(), asked.collect());
        let ((conversations, mut unavailable), (members, no_members), (messages, no_messages), (own, no_own)) =
            join4(
                self.tables.conversations.load(&all),
                self.tables.first_members.load(&members),
                self.tables.last_messages.load(&messages),
                self.tables.memberships.load(&asked),
            )
            .await;
        let mut own: HashMap<ConversationId, Member> =
            own.into_iter().map(|(key, member)| (key.conversation, *member)).collect();
        for (FirstMembers(id), of) in &members {
            own.extend(of.iter().find(|member| member.user() == viewer.user).map(|member| (*id, *member)));
        }
        let posts: Vec<PostId> = conversations.values().filter_map(|row| row.post()).collect();
        let (posts, no_posts) = self.tables.posts.load(&posts).await;
        let mut people: Vec<UserId> = posts.values().map(|post| post.author()).collect();
        people.extend(messages.values().map(|message| message.sender()));
        // One more than are shown, as of every list.
        let first = members.values().flat_map(|of| of.iter().take(wanted.members + 1));
        people.extend(first.filter(|_| wanted.members > 0).map(Member::user));
        people.sort_unstable();
        people.dedup();
        let people = self.tables.users.load(&people).await;
        let viewer = Some(viewer);
        let (posts, not_seen) = self.visible_of(viewer, posts, &people).await;
        let (mut people, no_people) = people;
        unavailable.extend(no_members.into_iter().map(|(first, error)| (first.0, error)));
        unavailable.extend(no_own.into_iter().map(|(own, error)| (own.conversation, error)));
        let no_posts = no_posts.into_iter().chain(not_seen);
        unavailable.extend(no_posts.map(|(id, error)| (ConversationId::of_post(id), error)));
        people.retain(|_, user| sees_user(viewer, user));
        let away = unavailable.values().next().cloned().or_else(|| no_people.into_values().next());
        let people = Arc::new(people);
        Rows { conversations, own, members, messages, no_messages, posts, people, unavailable, away }
    }
}

impl Rows {
    /// The conversation and, of a thread, its post, if the viewer may see them.
    fn visible(&self, id: ConversationId) -> Option<(Arc<conversation::Model>, Option<VisiblePost>)> {
        let conversation = self.conversations.get(&id)?.clone();
        let post = match conversation.post() {
            Some(post) => Some(self.posts.get(&post)?.clone()),
            None if self.own.contains_key(&id) => None,
            None => return None,
        };
        Some((conversation, post))
    }

    fn is_hidden(&self, id: ConversationId) -> bool {
        self.visible(id).is_none() && !self.unavailable.contains_key(&id)
    }

    fn see(&self, entry: inbox::Model, wanted: Wanted) -> Seen<Listed> {
        let id = entry.conversation();
        let Some((conversation, post)) = self.visible(id) else {
            return self.unavailable.get(&id).cloned().map_or(Seen::Hidden, Seen::Unavailable);
        };
        let (first, last) = (FirstMembers(id), LastMessage(id));
        let members = self.members.get(&first).cloned();
        let last_message = (wanted.last_message && !self.no_messages.contains_key(&last))
            .then(|| self.messages.get(&last).cloned());
        let entry = match &last_message {
            Some(Some(last)) => entry.as_of(last, self.own.get(&id)),
            _ => entry,
        };
        let people = self.people.clone();
        Seen::Visible(Listed { conversation, entry: Arc::new(entry), post, members, last_message, people })
    }
}
