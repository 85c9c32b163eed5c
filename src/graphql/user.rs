//! Users as others see them.

use std::sync::Arc;

use async_graphql::{ID, Object, SimpleObject};

use super::scalar::{DateTime, Url};
use crate::store::user;

/// An account.
pub struct User {
    pub row: Arc<user::Model>,
}

#[Object]
impl User {
    async fn id(&self) -> ID {
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

    async fn is_verified(&self) -> bool {
        self.row.is_verified
    }

    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
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
}

/// A changed user.
#[derive(SimpleObject)]
pub struct UserPayload {
    pub user: User,
}
