//! Users.

use std::sync::Arc;

use async_graphql::{ID, Object};

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
}
