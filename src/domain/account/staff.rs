//! What those who run the network may see.

use std::sync::Arc;

use crate::domain::Domain;
use crate::domain::viewer::Viewer;
use crate::domain::walk::{Walk, WalkPage};
use crate::model::account::{AccountState, Role};
use crate::model::id::UserId;
use crate::model::page::Slice;
use crate::model::{Error, Result};
use crate::store::overview::{self, Overview};
use crate::store::{ReplicaStatus, user};

/// A page of accounts, null where a row can't be read, and the error of what is missing.
pub type Accounts = (Slice<(Walk, Option<Arc<user::Model>>)>, Option<Error>);

impl Domain {
    /// Checks that the viewer has this role, or one above it: by the row on the primary, so that who loses
    /// it loses it at once.
    pub(in crate::domain) async fn require_role(&self, viewer: &Viewer, role: Role) -> Result<()> {
        let row = self.viewer_account(viewer).await?;
        if AccountState::of(row.state) == AccountState::Active && Role::of(row.role) as i16 >= role as i16 {
            return Ok(());
        }
        Err(Error::Forbidden(match role {
            Role::Admin => "Only administrators may do that.",
            Role::User | Role::Moderator => "Only moderators may do that.",
        }))
    }

    /// All accounts, the newest first, in use or not; for moderators.
    pub async fn all_users(
        &self,
        viewer: &Viewer,
        verified: Option<bool>,
        page: &WalkPage,
    ) -> Result<Accounts> {
        self.require_role(viewer, Role::Moderator).await?;
        let read = |connection, slots, before, limit| async move {
            user::newest(&connection, &slots, before, verified, limit).await
        };
        let (slice, away) = self.walk(viewer, page, read).await;
        let ids: Vec<UserId> = slice.items.iter().map(|(_, id)| UserId::from_row(*id)).collect();
        let (rows, unread) = self.tables.users.load(&ids).await;
        let away = away.or_else(|| unread.into_values().next());
        Ok((slice.map(|(walk, id)| (walk, rows.get(&UserId::from_row(id)).cloned())), away))
    }

    /// The shards, in the order in which they are configured, each with its replicas as this process sees
    /// them; for administrators.
    pub async fn shards(&self, viewer: &Viewer) -> Result<Vec<(Overview, Vec<ReplicaStatus>)>> {
        self.require_role(viewer, Role::Admin).await?;
        let shards = overview::all(&self.store).await;
        let replicas = self.store.shards().iter().map(|shard| shard.replicas());
        Ok(shards.into_iter().zip(replicas).collect())
    }
}
