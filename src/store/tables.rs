//! The tables that are read by key.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio_util::task::TaskTracker;

use super::coalesce::{Batch, Coalescer};
use super::{
    Store, comment, conversation, edge, inbox, media, member, message, notification, post, reaction, session,
    stream, user,
};
use crate::model::{Error, Result};

/// Keys that can't be read, with the error.
pub type LoadErrors<K> = HashMap<K, Error>;
/// The rows found, and the keys that can't be read.
pub type Loaded<K, V> = (HashMap<K, V>, LoadErrors<K>);

/// A table that is read by key on all shards, batched with other requests of this process.
pub struct Rows<B: Batch> {
    store: Store,
    shards: Vec<Coalescer<B>>,
}

impl<B: Batch> Rows<B> {
    pub fn new(store: &Store, tasks: &TaskTracker) -> Self {
        let shards = store.shards().iter().map(|shard| Coalescer::new(shard.clone(), tasks)).collect();
        Self { store: store.clone(), shards }
    }

    /// The rows of these keys, and the keys whose shard can't be read.
    pub async fn load(&self, keys: &[B::Key]) -> Loaded<B::Key, Arc<B::Row>> {
        let groups = self.store.group(keys.to_vec(), B::slot);
        let asked = groups.into_iter().map(|(index, keys)| async move {
            let found = self.shards[index].load(keys.clone()).await;
            (keys, found)
        });
        let mut rows = HashMap::with_capacity(keys.len());
        let mut errors = LoadErrors::new();
        for (keys, found) in join_all(asked).await {
            match found {
                Ok(found) => {
                    rows.extend(keys.iter().filter_map(|key| Some((*key, found.get(key)?.clone()))));
                }
                Err(error) => errors.extend(keys.into_iter().map(|key| (key, error.clone()))),
            }
        }
        (rows, errors)
    }

    /// One row.
    pub async fn get(&self, key: B::Key) -> Result<Option<Arc<B::Row>>> {
        let index = self.store.owner(B::slot(&key));
        let found = self.shards[index].load(vec![key]).await?;
        Ok(found.get(&key).cloned())
    }
}

/// The tables that are read by key.
pub struct Tables {
    pub sessions: Rows<session::ById>,
    pub users: Rows<user::ById>,
    pub posts: Rows<post::ById>,
    pub media: Rows<media::ById>,
    pub comments: Rows<comment::ById>,
    pub is_follower: Rows<edge::IsFollower>,
    pub has_asked: Rows<edge::HasAsked>,
    pub is_liked: Rows<edge::IsLiked>,
    pub conversations: Rows<conversation::ById>,
    pub standings: Rows<conversation::StandingById>,
    pub changes: Rows<stream::ChangesAfter>,
    pub memberships: Rows<member::Membership>,
    pub first_members: Rows<member::FirstMembers>,
    pub newest_members: Rows<member::NewestMembers>,
    pub markers: Rows<member::Markers>,
    pub messages: Rows<message::ById>,
    pub last_messages: Rows<message::LastMessage>,
    pub reactions: Rows<reaction::ReactionsTo>,
    pub inbox: Rows<inbox::Entry>,
    pub notifications: Rows<notification::ById>,
    pub notification_actors: Rows<notification::FirstActors>,
    pub unread_counts: Rows<notification::UnreadCount>,
}

impl Tables {
    pub fn new(store: &Store, tasks: &TaskTracker) -> Self {
        Self {
            users: Rows::new(store, tasks),
            sessions: Rows::new(store, tasks),
            posts: Rows::new(store, tasks),
            media: Rows::new(store, tasks),
            comments: Rows::new(store, tasks),
            is_follower: Rows::new(store, tasks),
            has_asked: Rows::new(store, tasks),
            is_liked: Rows::new(store, tasks),
            conversations: Rows::new(store, tasks),
            standings: Rows::new(store, tasks),
            changes: Rows::new(store, tasks),
            memberships: Rows::new(store, tasks),
            first_members: Rows::new(store, tasks),
            newest_members: Rows::new(store, tasks),
            markers: Rows::new(store, tasks),
            messages: Rows::new(store, tasks),
            last_messages: Rows::new(store, tasks),
            reactions: Rows::new(store, tasks),
            inbox: Rows::new(store, tasks),
            notifications: Rows::new(store, tasks),
            notification_actors: Rows::new(store, tasks),
            unread_counts: Rows::new(store, tasks),
        }
    }
}
