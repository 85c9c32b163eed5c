//! What moderators and administrators see.

use async_graphql::{Context, Object, SimpleObject};

use super::context::ContextExt;
use super::error::add_error;
use super::nullable::{Nullable, nullable};
use super::page::{Connection, DEFAULT_PAGE};
use super::scalar::Cursor;
use super::user::User;
use crate::domain::walk::WalkPage;
use crate::model::page::List;
use crate::store::ReplicaStatus;
use crate::store::overview::Overview;

/// A shard: a database that holds part of the rows.
#[derive(Debug, SimpleObject)]
pub struct ShardInfo {
    pub name: String,
    pub healthy: bool,
    /// How many of the 4096 slots it owns.
    pub slots: i32,
    /// Null while the shard does not answer, as are `posts` and `sizeBytes`.
    pub users: Option<i32>,
    pub posts: Option<i32>,
    pub size_bytes: Option<f64>,
    pub replicas: Vec<ReplicaInfo>,
}

/// A replica of a shard, as the answering process sees it.
#[derive(Debug, SimpleObject)]
pub struct ReplicaInfo {
    pub name: String,
    /// Whether it serves reads.
    pub healthy: bool,
    /// How old its data is at most, in milliseconds; null if unknown.
    pub lag_ms: Option<i32>,
}

impl From<(Overview, Vec<ReplicaStatus>)> for ShardInfo {
    fn from((shard, replicas): (Overview, Vec<ReplicaStatus>)) -> Self {
        let count = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
        let held = shard.contents;
        Self {
            name: shard.shard,
            healthy: held.is_some(),
            slots: i32::try_from(shard.slots).unwrap_or(i32::MAX),
            users: held.as_ref().map(|held| count(held.users)),
            posts: held.as_ref().map(|held| count(held.posts)),
            #[expect(clippy::cast_precision_loss, reason = "a size to look at")]
            size_bytes: held.map(|held| held.bytes as f64),
            replicas: replicas.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<ReplicaStatus> for ReplicaInfo {
    fn from(replica: ReplicaStatus) -> Self {
        let lag = replica.lag.map(|lag| i32::try_from(lag.as_millis()).unwrap_or(i32::MAX));
        Self { name: replica.name, healthy: replica.healthy, lag_ms: lag }
    }
}

#[derive(Default)]
pub struct StaffQuery;

#[Object]
impl StaffQuery {
    /// All accounts, newest first. For moderators.
    async fn users(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<Cursor>,
        verified: Option<bool>,
    ) -> Nullable<Connection<User>> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let first = first.unwrap_or(DEFAULT_PAGE);
            let page = WalkPage::parse(List::Users, first, after.as_ref().map(|cursor| cursor.0.as_str()))?;
            let (users, away) = ctx.domain().all_users(viewer, verified, &page).await?;
            add_error(ctx, away);
            let users = users.map(|(walk, row)| (Cursor(walk.encode(List::Users)), row.map(User::from)));
            Ok(Some(Connection::of_cursors(users)))
        })
        .await
    }

    /// The shards and their state. For administrators.
    async fn shards(&self, ctx: &Context<'_>) -> Nullable<Vec<ShardInfo>> {
        nullable(async {
            let shards = ctx.domain().shards(ctx.require_viewer()?).await?;
            Ok(Some(shards.into_iter().map(Into::into).collect()))
        })
        .await
    }
}
