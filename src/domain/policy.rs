//! Who sees what: the one place that decides it, for resolvers, feeds and streams alike.
//!
//! Each rule takes the rows that it decides by, read from the primary; loading them for many at once is
//! [`Domain`]'s. Privacy is decided here, and blocks and audiences belong here, and nowhere else.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Domain;
use super::viewer::Viewer;
use crate::model::contact::ContactPolicy;
use crate::model::id::{CommentId, ConversationId, PostId, UserId};
use crate::model::{Error, Result};
use crate::store::member::Membership;
use crate::store::{LoadErrors, Loaded, comment, post, user};

/// An account that is not in use is seen by its owner only.
pub fn sees_user(viewer: Option<&Viewer>, user: &user::Model) -> bool {
    user.is_active() || viewer.is_some_and(|viewer| viewer.user == user.id())
}

/// What a private account shows is for its followers: its posts, and whom it follows and who follows it.
pub fn sees_inside(viewer: Option<&Viewer>, user: &user::Model, follows: bool) -> bool {
    let is_own = viewer.is_some_and(|viewer| viewer.user == user.id());
    sees_user(viewer, user) && (!user.is_private || is_own || follows)
}

/// A post is visible to everyone who sees inside its author's account.
pub fn sees_post(viewer: Option<&Viewer>, post: &post::Model, author: &user::Model, follows: bool) -> bool {
    post.deleted_at.is_none() && sees_inside(viewer, author, follows)
}

const NO_MESSAGES: Error = Error::Forbidden("This person does not take messages from you.");

/// A post that its viewer may see, with its author.
#[derive(Debug, Clone)]
pub struct VisiblePost {
    pub post: Arc<post::Model>,
    pub author: Arc<user::Model>,
}

impl Domain {
    /// Those of these users that the viewer may see.
    pub async fn visible_users(
        &self,
        viewer: Option<&Viewer>,
        ids: &[UserId],
    ) -> Loaded<UserId, Arc<user::Model>> {
        let (mut users, away) = self.tables.users.load(ids).await;
        users.retain(|_, user| sees_user(viewer, user));
        (users, away)
    }

    /// Those of these posts that the viewer may see.
    pub async fn visible_posts(
        &self,
        viewer: Option<&Viewer>,
        ids: &[PostId],
    ) -> Loaded<PostId, VisiblePost> {
        let (posts, away) = self.tables.posts.load(ids).await;
        let mut authors: Vec<UserId> = posts.values().map(|post| post.author()).collect();
        authors.sort_unstable();
        authors.dedup();
        let authors = self.tables.users.load(&authors).await;
        let (visible, mut unknown) = self.visible_of(viewer, posts, &authors).await;
        unknown.extend(away);
        (visible, unknown)
    }

    /// Those of these posts that the viewer may see. The authors, and perhaps others, were read already.
    pub(super) async fn visible_of(
        &self,
        viewer: Option<&Viewer>,
        posts: HashMap<PostId, Arc<post::Model>>,
        (users, no_users): &Loaded<UserId, Arc<user::Model>>,
    ) -> Loaded<PostId, VisiblePost> {
        let authors = posts.values().filter_map(|post| users.get(&post.author()));
        let (follows, unknown) = self.follows_private(viewer, authors).await;
        let mut visible = HashMap::with_capacity(posts.len());
        let mut away = LoadErrors::new();
        for (id, post) in posts {
            let author = post.author();
            if let Some(error) = no_users.get(&author).or_else(|| unknown.get(&author)) {
                away.insert(id, error.clone());
            } else if let Some(author) = users.get(&author).cloned()
                && sees_post(viewer, &post, &author, follows.contains(&author.id()))
            {
                visible.insert(id, VisiblePost { post, author });
            }
        }
        (visible, away)
    }

    /// Those of these users with private accounts whom the viewer follows, and those of whom that can't be read. The
    /// others are not looked up.
    async fn follows_private(
        &self,
        viewer: Option<&Viewer>,
        users: impl Iterator<Item = &Arc<user::Model>>,
    ) -> (HashSet<UserId>, LoadErrors<UserId>) {
        let Some(viewer) = viewer else { return (HashSet::new(), LoadErrors::new()) };
        let asked = users.filter(|user| user.is_private && user.id() != viewer.user);
        let edges: Vec<_> = asked.map(|user| (user.id(), viewer.user)).collect();
        if edges.is_empty() {
            return (HashSet::new(), LoadErrors::new());
        }
        let (follows, away) = self.tables.is_follower.load(&edges).await;
        let away = away.into_iter().map(|((user, _), error)| (user, error)).collect();
        (follows.into_keys().map(|(user, _)| user).collect(), away)
    }

    /// The user, if the viewer may see inside the account; none if the viewer may see only the account.
    pub(super) async fn require_inside(
        &self,
        viewer: Option<&Viewer>,
        id: UserId,
    ) -> Result<Option<Arc<user::Model>>> {
        let user = self.require_user(viewer, id).await?;
        let (follows, mut away) = self.follows_private(viewer, std::iter::once(&user)).await;
        if let Some(error) = away.remove(&id) {
            return Err(error);
        }
        let sees = sees_inside(viewer, &user, follows.contains(&id));
        Ok(sees.then_some(user))
    }

    /// Those of these comments that the viewer may see: those on posts that the viewer may see.
    pub async fn visible_comments(
        &self,
        viewer: Option<&Viewer>,
        ids: &[CommentId],
    ) -> Loaded<CommentId, Arc<comment::Model>> {
        let (mut comments, mut away) = self.tables.comments.load(ids).await;
        let mut posts: Vec<PostId> = comments.values().map(|comment| comment.post()).collect();
        posts.sort_unstable();
        posts.dedup();
        let (posts, no_posts) = self.visible_posts(viewer, &posts).await;
        comments.retain(|id, comment| {
            if let Some(error) = no_posts.get(&comment.post()) {
                away.insert(*id, error.clone());
            }
            posts.contains_key(&comment.post())
        });
        (comments, away)
    }

    /// The user, if the viewer may see it.
    pub async fn require_user(&self, viewer: Option<&Viewer>, id: UserId) -> Result<Arc<user::Model>> {
        let user = self.tables.users.get(id).await?;
        user.filter(|user| sees_user(viewer, user)).ok_or(Error::NotFound("user"))
    }

    /// The post and its author, if the viewer may see it.
    pub async fn require_post(&self, viewer: Option<&Viewer>, id: PostId) -> Result<VisiblePost> {
        let (mut posts, mut away) = self.visible_posts(viewer, &[id]).await;
        posts.remove(&id).ok_or_else(|| away.remove(&id).unwrap_or(Error::NotFound("post")))
    }

    /// Whether a user's contact policy admits another user.
    pub async fn admits(&self, policy: ContactPolicy, owner: UserId, other: UserId) -> Result<bool> {
        let follows = policy == ContactPolicy::Followers
            && self.tables.is_follower.get((owner, other)).await?.is_some();
        Ok(policy.admits(follows))
    }

    /// Those of these users to whom the viewer may begin to write: who can be seen, are in use, are others,
    /// and take messages from the viewer.
    pub async fn may_message(&self, viewer: &Viewer, ids: &[UserId]) -> Loaded<UserId, Arc<user::Model>> {
        let (mut users, mut away) = self.visible_users(Some(viewer), ids).await;
        users.retain(|id, user| *id != viewer.user && user.is_active());
        let policy = |user: &user::Model| ContactPolicy::from_row(user.messages_from);
        let of_followers = users.values().filter(|user| policy(user) == ContactPolicy::Followers);
        let edges: Vec<(UserId, UserId)> = of_followers.map(|user| (user.id(), viewer.user)).collect();
        let (follows, no_edges) = self.tables.is_follower.load(&edges).await;
        users.retain(|id, user| policy(user).admits(follows.contains_key(&(*id, viewer.user))));
        away.extend(no_edges.into_iter().map(|((id, _), error)| (id, error)));
        (users, away)
    }

    /// Requires that the viewer may begin to write to all of these; `Forbidden` where the viewer may only see
    /// one of them.
    pub async fn require_may_message(&self, viewer: &Viewer, ids: &[UserId]) -> Result<()> {
        let (users, mut away) = self.may_message(viewer, ids).await;
        for id in ids {
            if let Some(error) = away.remove(id) {
                return Err(error);
            }
            if !users.contains_key(id) {
                self.require_user(Some(viewer), *id).await?;
                return Err(NO_MESSAGES);
            }
        }
        Ok(())
    }

    /// Lets the viewer write in the direct conversation with the other, if the other takes messages from the
    /// viewer or has written there: whoever is written to may answer, and keeps that.
    pub async fn require_may_go_on(
        &self,
        viewer: &Viewer,
        conversation: ConversationId,
        other: UserId,
    ) -> Result<()> {
        let user = self.tables.users.get(other).await?.ok_or(Error::NotFound("user"))?;
        if self.admits(ContactPolicy::from_row(user.messages_from), other, viewer.user).await? {
            return Ok(());
        }
        let member = self.tables.memberships.get(Membership { conversation, user: other }).await?;
        if member.is_some_and(|member| member.sent_seq > 0) { Ok(()) } else { Err(NO_MESSAGES) }
    }
}
