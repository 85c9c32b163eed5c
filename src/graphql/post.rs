//! Posts.

use async_graphql::{ID, Object};

use crate::domain::id::PostId;

/// A post.
pub struct Post {
    id: PostId,
}

impl Post {
    pub fn with_id(id: PostId) -> Self {
        Self { id }
    }
}

#[Object]
impl Post {
    async fn id(&self) -> ID {
        self.id.uuid().into()
    }
}
