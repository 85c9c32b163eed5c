//! One `DataLoader` a request, over the coalescers of the process: a request asks each shard once for
//! each kind of row, together with the other requests that ask at the same moment.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::dataloader::{DataLoader, Loader};
use async_graphql::runtime::{Timer, TokioSpawner};
use futures_util::future::{BoxFuture, FutureExt};

use crate::domain::account::Viewer;
use crate::domain::id::{ConversationId, MessageId, UserId};
use crate::domain::{Domain, Error};
use crate::store::Rows;
use crate::store::coalesce::Batch;
use crate::store::conversation::{self, FirstMembers};
use crate::store::inbox::{self, Entry};
use crate::store::message::{self, LastMessage};
use crate::store::user;

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

/// Makes the loaders of requests.
pub struct Loaders;

impl Loaders {
    pub fn for_request(domain: Domain, viewer: Option<Viewer>) -> DataLoader<Reader> {
        DataLoader::new(Reader { domain, viewer }, TokioSpawner::current(), Yield)
    }
}

/// Reads rows by key for one request.
pub struct Reader {
    domain: Domain,
    viewer: Option<Viewer>,
}

async fn load<B: Batch>(rows: &Rows<B>, keys: &[B::Key]) -> Result<HashMap<B::Key, Arc<B::Row>>, Error> {
    let (found, failed) = rows.load(keys).await;
    match failed {
        // A shard that can't be read must not take the other shards' rows with it: its keys are answered
        // as missing where something was found.
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

impl Loader<UserId> for Reader {
    type Value = Arc<user::Model>;
    type Error = Error;

    async fn load(&self, keys: &[UserId]) -> Result<HashMap<UserId, Self::Value>, Error> {
        load(&self.domain.tables.users, keys).await
    }
}

impl Loader<ConversationId> for Reader {
    type Value = Arc<conversation::Model>;
    type Error = Error;

    async fn load(&self, keys: &[ConversationId]) -> Result<HashMap<ConversationId, Self::Value>, Error> {
        load(&self.domain.tables.conversations, keys).await
    }
}

impl Loader<FirstMembers> for Reader {
    type Value = Arc<Vec<conversation::Member>>;
    type Error = Error;

    async fn load(&self, keys: &[FirstMembers]) -> Result<HashMap<FirstMembers, Self::Value>, Error> {
        load(&self.domain.tables.first_members, keys).await
    }
}

impl Loader<MessageId> for Reader {
    type Value = Arc<message::Model>;
    type Error = Error;

    async fn load(&self, keys: &[MessageId]) -> Result<HashMap<MessageId, Self::Value>, Error> {
        load(&self.domain.tables.messages, keys).await
    }
}

impl Loader<LastMessage> for Reader {
    type Value = Arc<message::Model>;
    type Error = Error;

    async fn load(&self, keys: &[LastMessage]) -> Result<HashMap<LastMessage, Self::Value>, Error> {
        load(&self.domain.tables.last_messages, keys).await
    }
}

impl Loader<Entry> for Reader {
    type Value = Arc<inbox::Model>;
    type Error = Error;

    async fn load(&self, keys: &[Entry]) -> Result<HashMap<Entry, Self::Value>, Error> {
        load(&self.domain.tables.inbox, keys).await
    }
}
