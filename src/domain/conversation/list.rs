//! A member's list of conversations. A page is read in four steps: skeleton (the member's entries), hydrate
//! (each table once), policy (what the member may see), present.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::future::join4;

use crate::domain::Domain;
use crate::domain::policy::{VisiblePost, sees_post, sees_user};
use crate::domain::viewer::Viewer;
use crate::model::id::{ConversationId, PostId, UserId};
use crate::model::page::{Page, Place, Slice};
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
    /// None inside of it: nobody has written.
    pub last_message: Option<Option<Arc<message::Model>>>,
    /// The members and senders on the page whom the viewer may see.
    pub people: Arc<People>,
}

/// A page of a list of conversations.
#[derive(Debug)]
pub struct ConversationPage {
    /// Null stands for what can't be read now, for what the viewer has just left, and for threads of posts that
    /// the viewer may not see any more.
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
    no_messages: LoadErrors<LastMessage>,
    posts: HashMap<PostId, VisiblePost>,
    people: Arc<People>,
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
        let read = async |connection| inbox::page(&connection, viewer.user, page, archived).await;
        let inbox::Listed { entries, unread } = self.store.read(viewer.user.slot(), read).await?;
        let ids: Vec<ConversationId> =
            entries.iter().take(page.size as usize).map(inbox::Model::conversation).collect();
        let rows = self.rows_behind(viewer, &ids, wanted).await;
        let listed = entries.into_iter().map(|entry| {
            let place = Place::moment(entry.last_message_at, entry.conversation_id);
            (place, rows.present(entry, wanted))
        });
        let conversations = Slice::cut(listed.collect(), page);
        Ok(ConversationPage { conversations, unread, away: rows.away })
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
        let visible = posts.into_iter().filter_map(|(id, post)| {
            let author = people.get(&post.author())?.clone();
            sees_post(viewer, &post, &author).then_some((id, VisiblePost { post, author }))
        });
        let posts = visible.collect();
        people.retain(|_, user| sees_user(viewer, user));
        let away = away.into_values().chain(no_posts.into_values()).chain(no_people.into_values());
        let away = away.chain(no_members.into_values()).chain(no_own.into_values()).next();
        let people = Arc::new(people);
        Rows { conversations, own, members, messages, no_messages, posts, people, away }
    }
}

impl Rows {
    fn present(&self, entry: inbox::Model, wanted: Wanted) -> Option<Listed> {
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
        let people = self.people.clone();
        Some(Listed { conversation, entry: Arc::new(entry), post, members, last_message, people })
    }
}
