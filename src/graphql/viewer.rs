//! The signed-in account, as it sees itself.

use std::sync::Arc;

use async_graphql::{Context, Enum, Object, Result};

use super::context::ContextExt;
use super::conversation::{self, ConversationConnection};
use super::feed::{self, FeedConnection};
use super::follow;
use super::notification::{self, NotificationConnection, NotificationKind};
use super::nullable::{Nullable, nullable};
use super::page::Connection;
use super::scalar::Cursor;
use super::session::Session;
use super::settings::Settings;
use super::user::User;
use crate::domain::viewer;
use crate::model;
use crate::model::Error;
use crate::store::user;

/// The rights of an account.
#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
#[graphql(remote = "model::account::Role")]
pub enum Role {
    User,
    Moderator,
    Admin,
}

#[derive(Enum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountState {
    Active,
    Deactivated,
    Suspended,
    PendingDeletion,
}

impl From<model::account::AccountState> for AccountState {
    fn from(state: model::account::AccountState) -> Self {
        match state {
            model::account::AccountState::Active => Self::Active,
            model::account::AccountState::Deactivated => Self::Deactivated,
            model::account::AccountState::PendingDeletion => Self::PendingDeletion,
            // The last is no account, and its row is never loaded.
            model::account::AccountState::Suspended | model::account::AccountState::Aborted => {
                Self::Suspended
            }
        }
    }
}

pub struct Viewer {
    /// Where it was read already. Who asks for lists only needs none.
    known: Option<Arc<user::Model>>,
    viewer: viewer::Viewer,
}

impl Viewer {
    pub const fn new(viewer: viewer::Viewer) -> Self {
        Self { known: None, viewer }
    }

    pub const fn with(viewer: viewer::Viewer, row: Arc<user::Model>) -> Self {
        Self { known: Some(row), viewer }
    }

    async fn account(&self, ctx: &Context<'_>) -> Result<Arc<user::Model>, Error> {
        match &self.known {
            Some(row) => Ok(row.clone()),
            None => ctx.loader().load_one(self.viewer.user).await?.ok_or(Error::Unauthenticated),
        }
    }
}

/// The signed-in account.
#[Object]
impl Viewer {
    async fn user(&self, ctx: &Context<'_>) -> Result<User> {
        Ok(self.account(ctx).await?.into())
    }

    async fn email(&self, ctx: &Context<'_>) -> Result<String> {
        Ok(self.account(ctx).await?.email.clone())
    }

    async fn email_verified(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(self.account(ctx).await?.email_verified)
    }

    async fn role(&self, ctx: &Context<'_>) -> Result<Role> {
        Ok(model::account::Role::of(self.account(ctx).await?.role).into())
    }

    async fn state(&self, ctx: &Context<'_>) -> Result<AccountState> {
        Ok(model::account::AccountState::of(self.account(ctx).await?.state).into())
    }

    async fn settings(&self, ctx: &Context<'_>) -> Result<Settings> {
        Ok(Settings { row: self.account(ctx).await? })
    }

    /// The viewer's feed, newest post first.
    async fn feed(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<Cursor>,
    ) -> Nullable<FeedConnection> {
        nullable(async { Ok(Some(feed::of_viewer(ctx, &self.viewer, first, after.as_ref()).await?)) }).await
    }

    /// The viewer's notifications, those with the newest actors first.
    async fn notifications(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<Cursor>,
        kinds: Option<Vec<NotificationKind>>,
    ) -> Nullable<NotificationConnection> {
        nullable(async {
            Ok(Some(notification::of_viewer(ctx, &self.viewer, first, after.as_ref(), kinds).await?))
        })
        .await
    }

    /// The viewer's conversations, the one with the newest message first.
    async fn conversations(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<Cursor>,
        #[graphql(default_with = "Some(false)")] archived: Option<bool>,
    ) -> Nullable<ConversationConnection> {
        let archived = archived.unwrap_or(false);
        nullable(async {
            Ok(Some(conversation::of_viewer(ctx, &self.viewer, first, after.as_ref(), archived).await?))
        })
        .await
    }

    /// Who has asked to follow the viewer's account, the newest first.
    async fn follow_requests(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<Cursor>,
    ) -> Nullable<Connection<User>> {
        nullable(async { Ok(Some(follow::requests(ctx, &self.viewer, first, after.as_ref()).await?)) }).await
    }

    /// The active sessions, the last used first.
    async fn sessions(&self, ctx: &Context<'_>) -> Result<Vec<Session>> {
        let rows = ctx.domain().sessions(&self.viewer).await?;
        Ok(rows.into_iter().map(|row| Session::new(row, &self.viewer)).collect())
    }
}
