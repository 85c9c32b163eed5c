//! One `DataLoader` a request, over the coalescers of the process: a request asks each shard once for
//! each kind of row, together with the other requests that ask at the same moment.
//!
//! What a loader gives, the viewer may see: the policy is part of loading.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader};
use async_graphql::runtime::{Timer, TokioSpawner};
use futures_util::future::{BoxFuture, FutureExt};

use crate::domain::account::Viewer;
use crate::domain::id::{CommentId, ConversationId, MediaId, MessageId, NotificationId, PostId, UserId};
use crate::domain::policy::VisiblePost;
use crate::domain::{Domain, Error};
use crate::store::coalesce::Batch;
use crate::store::conversation::{self, FirstMembers};
use crate::store::inbox::{self, Entry};
use crate::store::message::{self, LastMessage};
use crate::store::notification::{self, ActorsOf, UnreadOf};
use crate::store::{Rows, comment, media, user};

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

/// Reads rows by key for one request.
pub struct Reader {
    domain: Domain,
    viewer: Option<Viewer>,
}

impl Reader {
    /// The loader of one request.
    pub fn for_request(domain: Domain, viewer: Option<Viewer>) -> DataLoader<Self> {
        DataLoader::new(Self { domain, viewer }, TokioSpawner::current(), Yield)
    }
}

/// A shard that can't be read must not take the other shards' rows with it: its keys are missing where
/// something was found.
fn found<K: Eq + Hash, V>((found, failed): (HashMap<K, V>, Option<Error>)) -> Result<HashMap<K, V>, Error> {
    match failed {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

/// The rows of a list, whose places are null where a shard can't be read: also where that is all of them.
pub async fn load_listed<K>(
    loader: &DataLoader<Reader>,
    keys: impl Iterator<Item = K>,
) -> Result<HashMap<K, <Reader as Loader<K>>::Value>, Error>
where
    K: Clone + Eq + Hash + Send + Sync + 'static,
    Reader: Loader<K, Error = Error>,
{
    match loader.load_many(keys).await {
        Err(Error::ShardUnavailable) => Ok(HashMap::new()),
        read => read,
    }
}

async fn rows<B: Batch>(rows: &Rows<B>, keys: &[B::Key]) -> Result<HashMap<B::Key, Arc<B::Row>>, Error> {
    found(rows.load(keys).await)
}

impl Loader<UserId> for Reader {
    type Value = Arc<user::Model>;
    type Error = Error;

    async fn load(&self, keys: &[UserId]) -> Result<HashMap<UserId, Self::Value>, Error> {
        found(self.domain.visible_users(self.viewer.as_ref(), keys).await)
    }
}

impl Loader<PostId> for Reader {
    type Value = VisiblePost;
    type Error = Error;

    async fn load(&self, keys: &[PostId]) -> Result<HashMap<PostId, Self::Value>, Error> {
        found(self.domain.visible_posts(self.viewer.as_ref(), keys).await)
    }
}

impl Loader<CommentId> for Reader {
    type Value = Arc<comment::Model>;
    type Error = Error;

    async fn load(&self, keys: &[CommentId]) -> Result<HashMap<CommentId, Self::Value>, Error> {
        found(self.domain.visible_comments(self.viewer.as_ref(), keys).await)
    }
}

/// Media has no policy of its own: what shows it was loaded under one.
impl Loader<MediaId> for Reader {
    type Value = Arc<media::Model>;
    type Error = Error;

    async fn load(&self, keys: &[MediaId]) -> Result<HashMap<MediaId, Self::Value>, Error> {
        rows(&self.domain.tables.media, keys).await
    }
}

/// Whether the second follows the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IsFollower(pub UserId, pub UserId);

impl Loader<IsFollower> for Reader {
    type Value = ();
    type Error = Error;

    async fn load(&self, keys: &[IsFollower]) -> Result<HashMap<IsFollower, ()>, Error> {
        let keys: Vec<_> = keys.iter().map(|key| (key.0, key.1)).collect();
        let edges = rows(&self.domain.tables.is_follower, &keys).await?;
        Ok(edges.into_keys().map(|(user, follower)| (IsFollower(user, follower), ())).collect())
    }
}

/// Whether the user likes the post.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IsLiked(pub PostId, pub UserId);

impl Loader<IsLiked> for Reader {
    type Value = ();
    type Error = Error;

    async fn load(&self, keys: &[IsLiked]) -> Result<HashMap<IsLiked, ()>, Error> {
        let keys: Vec<_> = keys.iter().map(|key| (key.0, key.1)).collect();
        let edges = rows(&self.domain.tables.is_liked, &keys).await?;
        Ok(edges.into_keys().map(|(post, user)| (IsLiked(post, user), ())).collect())
    }
}

impl Loader<ConversationId> for Reader {
    type Value = Arc<conversation::Model>;
    type Error = Error;

    async fn load(&self, keys: &[ConversationId]) -> Result<HashMap<ConversationId, Self::Value>, Error> {
        rows(&self.domain.tables.conversations, keys).await
    }
}

impl Loader<FirstMembers> for Reader {
    type Value = Arc<Vec<conversation::Member>>;
    type Error = Error;

    async fn load(&self, keys: &[FirstMembers]) -> Result<HashMap<FirstMembers, Self::Value>, Error> {
        rows(&self.domain.tables.first_members, keys).await
    }
}

impl Loader<MessageId> for Reader {
    type Value = Arc<message::Model>;
    type Error = Error;

    async fn load(&self, keys: &[MessageId]) -> Result<HashMap<MessageId, Self::Value>, Error> {
        rows(&self.domain.tables.messages, keys).await
    }
}

impl Loader<LastMessage> for Reader {
    type Value = Arc<message::Model>;
    type Error = Error;

    async fn load(&self, keys: &[LastMessage]) -> Result<HashMap<LastMessage, Self::Value>, Error> {
        rows(&self.domain.tables.last_messages, keys).await
    }
}

impl Loader<Entry> for Reader {
    type Value = Arc<inbox::Model>;
    type Error = Error;

    async fn load(&self, keys: &[Entry]) -> Result<HashMap<Entry, Self::Value>, Error> {
        rows(&self.domain.tables.inbox, keys).await
    }
}

impl Loader<NotificationId> for Reader {
    type Value = Arc<notification::Model>;
    type Error = Error;

    async fn load(&self, keys: &[NotificationId]) -> Result<HashMap<NotificationId, Self::Value>, Error> {
        let viewer = self.viewer.as_ref().map(|viewer| viewer.user);
        let mut found = rows(&self.domain.tables.notifications, keys).await?;
        found.retain(|_, row| Some(row.receiver()) == viewer);
        Ok(found)
    }
}

impl Loader<ActorsOf> for Reader {
    type Value = Arc<Vec<UserId>>;
    type Error = Error;

    async fn load(&self, keys: &[ActorsOf]) -> Result<HashMap<ActorsOf, Self::Value>, Error> {
        rows(&self.domain.tables.notification_actors, keys).await
    }
}

impl Loader<UnreadOf> for Reader {
    type Value = Arc<i32>;
    type Error = Error;

    async fn load(&self, keys: &[UnreadOf]) -> Result<HashMap<UnreadOf, Self::Value>, Error> {
        rows(&self.domain.tables.unread_counts, keys).await
    }
}
