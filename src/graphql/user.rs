//! Users as others see them.

use std::collections::HashSet;
use std::sync::Arc;

use async_graphql::{Context, ID, Object, Result, SimpleObject};

use super::context::ContextExt;
use super::follow::{self, Relationship};
use super::media::Media;
use super::nullable::{Nullable, nullable};
use super::page::Connection;
use super::post::{self, Post};
use super::scalar::{Cursor, DateTime, Url};
use crate::model::Error;
use crate::model::id::UserId;
use crate::store::user;

pub struct User {
    pub row: Arc<user::Model>,
}

impl From<Arc<user::Model>> for User {
    fn from(row: Arc<user::Model>) -> Self {
        Self { row }
    }
}

/// The user, if there is one that the viewer may see.
pub async fn load(ctx: &Context<'_>, id: UserId) -> Result<Option<User>, Error> {
    Ok(ctx.loader().load_one(id).await?.map(User::from))
}

/// Those of these users who are not hidden from the viewer: who can be seen, or can't be read now.
pub async fn visible(ctx: &Context<'_>, ids: impl Iterator<Item = UserId>) -> Result<HashSet<UserId>, Error> {
    Ok(ctx.loader().load_each(ids).await?.into_keys().collect())
}

/// Users in the order of their ids, those whom the viewer may see; null where a shard can't be read.
pub async fn load_many(ctx: &Context<'_>, ids: Vec<UserId>) -> Result<Vec<Option<User>>, Error> {
    let rows = ctx.loader().load_listed(ctx, ids.iter().copied()).await?;
    Ok(ids.iter().filter_map(|id| rows.get(id)).map(|row| row.clone().map(User::from)).collect())
}

/// The user as a mutation has left it.
pub async fn payload(ctx: &Context<'_>, id: UserId) -> Result<Option<UserPayload>, Error> {
    let row = ctx.domain().require_user(ctx.viewer(), id).await?;
    Ok(Some(UserPayload { user: row.into() }))
}

/// An account.
#[Object]
impl User {
    pub async fn id(&self) -> ID {
        self.row.id.into()
    }

    async fn username(&self) -> &str {
        &self.row.username
    }

    async fn full_name(&self) -> Option<&str> {
        self.row.full_name.as_deref()
    }

    async fn bio(&self) -> Option<&str> {
        self.row.bio.as_deref()
    }

    async fn website(&self) -> Option<Url> {
        self.row.website.clone().map(Url)
    }

    async fn avatar(&self, ctx: &Context<'_>) -> Nullable<Media> {
        nullable(async {
            let Some(id) = self.row.avatar() else { return Ok(None) };
            Ok(ctx.loader().load_one(id).await?.map(Media::from))
        })
        .await
    }

    /// Whether the posts, the followers and the followed of the account are for its followers only.
    async fn is_private(&self) -> bool {
        self.row.is_private
    }

    async fn is_verified(&self) -> bool {
        self.row.is_verified
    }

    async fn created_at(&self) -> DateTime {
        self.row.created_at.into()
    }

    async fn post_count(&self) -> i32 {
        self.row.post_count
    }

    async fn follower_count(&self) -> i32 {
        self.row.follower_count
    }

    async fn following_count(&self) -> i32 {
        self.row.following_count
    }

    /// The viewer's relationship with the user; null for the viewer's own account and for anonymous callers.
    async fn relationship(&self, ctx: &Context<'_>) -> Nullable<Relationship> {
        nullable(async { follow::relationship(ctx, &self.row).await }).await
    }

    /// Newest first; null if the account is private and the viewer does not follow it.
    async fn posts(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<Cursor>,
    ) -> Nullable<Connection<Post>> {
        nullable(async { post::of_user(ctx, self.row.id(), first, after.as_ref()).await }).await
    }

    /// Newest first; null if the account is private and the viewer does not follow it.
    async fn followers(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<Cursor>,
    ) -> Nullable<Connection<User>> {
        nullable(async { follow::followers(ctx, self.row.id(), first, after.as_ref()).await }).await
    }

    /// Newest first; null if the account is private and the viewer does not follow it.
    async fn following(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<Cursor>,
    ) -> Nullable<Connection<User>> {
        nullable(async { follow::following(ctx, self.row.id(), first, after.as_ref()).await }).await
    }
}

/// A changed user.
#[derive(SimpleObject)]
pub struct UserPayload {
    pub user: User,
}
