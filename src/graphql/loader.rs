//! One `DataLoader` a request, over the coalescers of the process: a request asks each shard once for
//! each kind of row, together with the other requests that ask at the same moment.
//!
//! What a loader gives of users, posts and comments, the viewer may see: the policy is part of
//! loading. What belongs to a conversation or to another row is for who was let into that.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::Context;
use async_graphql::dataloader::{DataLoader, Loader};
use async_graphql::runtime::{Timer, TokioSpawner};
use futures_util::future::{BoxFuture, FutureExt};

use super::error::add_error;
use crate::domain::Domain;
use crate::domain::policy::VisiblePost;
use crate::domain::viewer::Viewer;
use crate::model::Error;
use crate::model::id::{CommentId, ConversationId, MediaId, MessageId, PostId, UserId};
use crate::store::inbox::{self, Entry};
use crate::store::member::{FirstMembers, Markers, Member};
use crate::store::message::{self, LastMessage};
use crate::store::reaction::{Counted, ReactionsTo};
use crate::store::{Loaded, comment, conversation, media, user};

/// How often a loader lets the other resolvers of its request go first. Each yield lets all that are
/// ready add their keys; a clock's delay would cost a fifth of the throughput instead.
const YIELDS: usize = 2;

struct Yield;

impl Timer for Yield {
    fn delay(&self, _: Duration) -> BoxFuture<'static, ()> {
        async {
            for _ in 0..YIELDS {
                tokio::task::yield_now().await;
            }
        }
        .boxed()
    }
}

/// The loaders of one request. A shard that can't be read fails its own keys and no others.
pub struct Loads(DataLoader<Reader>);

/// Reads rows by key for one request.
pub struct Reader {
    domain: Domain,
    viewer: Option<Viewer>,
}

impl Loads {
    /// The loaders of one request.
    pub fn for_request(domain: Domain, viewer: Option<Viewer>) -> Self {
        Self(DataLoader::new(Reader { domain, viewer }, TokioSpawner::current(), Yield))
    }

    /// The row, if there is one; an error where its shard can't be read.
    pub async fn load_one<K, V>(&self, key: K) -> Result<Option<V>, Error>
    where
        K: Clone + Eq + Hash + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
        Reader: Loader<K, Value = Result<V, Error>, Error = Error>,
    {
        self.0.load_one(key).await?.transpose()
    }

    /// The rows that there are; an error where a shard can't be read.
    pub async fn load_many<K, V>(&self, keys: impl IntoIterator<Item = K>) -> Result<HashMap<K, V>, Error>
    where
        K: Clone + Eq + Hash + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
        Reader: Loader<K, Value = Result<V, Error>, Error = Error>,
    {
        self.0.load_many(keys).await?.into_iter().map(|(key, row)| Ok((key, row?))).collect()
    }

    /// The rows that there are; an error for each whose shard can't be read.
    pub async fn load_each<K, V>(
        &self,
        keys: impl Iterator<Item = K>,
    ) -> Result<HashMap<K, Result<V, Error>>, Error>
    where
        K: Clone + Eq + Hash + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
        Reader: Loader<K, Value = Result<V, Error>, Error = Error>,
    {
        self.0.load_many(keys).await
    }

    /// The rows of a list that there are, none for those whose shard can't be read; the answer then also has the error.
    pub async fn load_listed<K, V>(
        &self,
        ctx: &Context<'_>,
        keys: impl Iterator<Item = K>,
    ) -> Result<HashMap<K, Option<V>>, Error>
    where
        K: Clone + Eq + Hash + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
        Reader: Loader<K, Value = Result<V, Error>, Error = Error>,
    {
        let mut away = None;
        let mut rows = HashMap::new();
        for (key, row) in self.load_each(keys).await? {
            let row = row.map_err(|error| away = Some(error)).ok();
            rows.insert(key, row);
        }
        add_error(ctx, away);
        Ok(rows)
    }
}

fn found<K: Eq + Hash, V>((found, away): Loaded<K, V>) -> HashMap<K, Result<V, Error>> {
    let found = found.into_iter().map(|(key, row)| (key, Ok(row)));
    found.chain(away.into_iter().map(|(key, error)| (key, Err(error)))).collect()
}

impl Loader<UserId> for Reader {
    type Value = Result<Arc<user::Model>, Error>;
    type Error = Error;

    async fn load(&self, keys: &[UserId]) -> Result<HashMap<UserId, Self::Value>, Error> {
        Ok(found(self.domain.visible_users(self.viewer.as_ref(), keys).await))
    }
}

impl Loader<PostId> for Reader {
    type Value = Result<VisiblePost, Error>;
    type Error = Error;

    async fn load(&self, keys: &[PostId]) -> Result<HashMap<PostId, Self::Value>, Error> {
        Ok(found(self.domain.visible_posts(self.viewer.as_ref(), keys).await))
    }
}

impl Loader<CommentId> for Reader {
    type Value = Result<Arc<comment::Model>, Error>;
    type Error = Error;

    async fn load(&self, keys: &[CommentId]) -> Result<HashMap<CommentId, Self::Value>, Error> {
        Ok(found(self.domain.visible_comments(self.viewer.as_ref(), keys).await))
    }
}

/// Media has no policy of its own: what shows it was loaded under one.
impl Loader<MediaId> for Reader {
    type Value = Result<Arc<media::Model>, Error>;
    type Error = Error;

    async fn load(&self, keys: &[MediaId]) -> Result<HashMap<MediaId, Self::Value>, Error> {
        Ok(found(self.domain.tables.media.load(keys).await))
    }
}

/// Whether the second follows the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IsFollower(pub UserId, pub UserId);

impl Loader<IsFollower> for Reader {
    type Value = Result<(), Error>;
    type Error = Error;

    async fn load(&self, keys: &[IsFollower]) -> Result<HashMap<IsFollower, Self::Value>, Error> {
        let keys: Vec<_> = keys.iter().map(|key| (key.0, key.1)).collect();
        let edges = found(self.domain.tables.is_follower.load(&keys).await);
        let key = |(user, follower)| IsFollower(user, follower);
        Ok(edges.into_iter().map(|(edge, row)| (key(edge), row.map(|_| ()))).collect())
    }
}

/// Whether the second has asked to follow the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HasAsked(pub UserId, pub UserId);

impl Loader<HasAsked> for Reader {
    type Value = Result<(), Error>;
    type Error = Error;

    async fn load(&self, keys: &[HasAsked]) -> Result<HashMap<HasAsked, Self::Value>, Error> {
        let keys: Vec<_> = keys.iter().map(|key| (key.0, key.1)).collect();
        let edges = found(self.domain.tables.has_asked.load(&keys).await);
        let key = |(user, follower)| HasAsked(user, follower);
        Ok(edges.into_iter().map(|(edge, row)| (key(edge), row.map(|_| ()))).collect())
    }
}

/// Whether the viewer may begin to write to the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MayMessage(pub UserId);

impl Loader<MayMessage> for Reader {
    type Value = Result<(), Error>;
    type Error = Error;

    async fn load(&self, keys: &[MayMessage]) -> Result<HashMap<MayMessage, Self::Value>, Error> {
        let Some(viewer) = &self.viewer else { return Ok(HashMap::new()) };
        let keys: Vec<_> = keys.iter().map(|key| key.0).collect();
        let users = found(self.domain.may_message(viewer, &keys).await);
        Ok(users.into_iter().map(|(id, row)| (MayMessage(id), row.map(|_| ()))).collect())
    }
}

/// Whether the user likes the post.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IsLiked(pub PostId, pub UserId);

impl Loader<IsLiked> for Reader {
    type Value = Result<(), Error>;
    type Error = Error;

    async fn load(&self, keys: &[IsLiked]) -> Result<HashMap<IsLiked, Self::Value>, Error> {
        let keys: Vec<_> = keys.iter().map(|key| (key.0, key.1)).collect();
        let edges = found(self.domain.tables.is_liked.load(&keys).await);
        let key = |(post, user)| IsLiked(post, user);
        Ok(edges.into_iter().map(|(edge, row)| (key(edge), row.map(|_| ()))).collect())
    }
}

impl Loader<ConversationId> for Reader {
    type Value = Result<Arc<conversation::Model>, Error>;
    type Error = Error;

    async fn load(&self, keys: &[ConversationId]) -> Result<HashMap<ConversationId, Self::Value>, Error> {
        Ok(found(self.domain.tables.conversations.load(keys).await))
    }
}

impl Loader<FirstMembers> for Reader {
    type Value = Result<Arc<Vec<Member>>, Error>;
    type Error = Error;

    async fn load(&self, keys: &[FirstMembers]) -> Result<HashMap<FirstMembers, Self::Value>, Error> {
        Ok(found(self.domain.tables.first_members.load(keys).await))
    }
}

impl Loader<Markers> for Reader {
    type Value = Result<Arc<Vec<Member>>, Error>;
    type Error = Error;

    async fn load(&self, keys: &[Markers]) -> Result<HashMap<Markers, Self::Value>, Error> {
        Ok(found(self.domain.tables.markers.load(keys).await))
    }
}

impl Loader<MessageId> for Reader {
    type Value = Result<Arc<message::Model>, Error>;
    type Error = Error;

    async fn load(&self, keys: &[MessageId]) -> Result<HashMap<MessageId, Self::Value>, Error> {
        Ok(found(self.domain.tables.messages.load(keys).await))
    }
}

impl Loader<LastMessage> for Reader {
    type Value = Result<Arc<message::Model>, Error>;
    type Error = Error;

    async fn load(&self, keys: &[LastMessage]) -> Result<HashMap<LastMessage, Self::Value>, Error> {
        Ok(found(self.domain.tables.last_messages.load(keys).await))
    }
}

impl Loader<ReactionsTo> for Reader {
    type Value = Result<Arc<Vec<Counted>>, Error>;
    type Error = Error;

    async fn load(&self, keys: &[ReactionsTo]) -> Result<HashMap<ReactionsTo, Self::Value>, Error> {
        Ok(found(self.domain.tables.reactions.load(keys).await))
    }
}

impl Loader<Entry> for Reader {
    type Value = Result<Arc<inbox::Model>, Error>;
    type Error = Error;

    async fn load(&self, keys: &[Entry]) -> Result<HashMap<Entry, Self::Value>, Error> {
        Ok(found(self.domain.tables.inbox.load(keys).await))
    }
}
