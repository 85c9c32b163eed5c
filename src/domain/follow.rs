//! Who follows whom. The edge lies with the followed user, whose privacy decides; the follower's side is
//! a mirror that a consumer keeps.

use std::collections::BTreeMap;

use super::Domain;
use super::account::Viewer;
use crate::model::event::Event;
use crate::model::id::{Slot, UserId};
use crate::model::page::{Page, Place, Slice};
use crate::model::{Error, Result};
use crate::store::Tx;
use crate::store::edge::{self, Table};
use crate::store::group_commit::GroupWrite;
use crate::store::user::{self, Counter};

/// The most people whom one may follow; a feed is rebuilt from all of them.
pub const MAX_FOLLOWING: u64 = 7500;

/// The beginning or the end of a follow.
#[derive(Debug, Clone, Copy)]
pub(super) struct FollowWrite {
    user: UserId,
    follower: UserId,
    active: bool,
}

impl GroupWrite for FollowWrite {
    type Made = ();

    fn slot(&self) -> Slot {
        self.user.slot()
    }

    async fn write(tx: &Tx, writes: &[Self]) -> Result<Vec<Result<()>>> {
        let mut followers = BTreeMap::new();
        for active in [true, false] {
            let asked = writes.iter().filter(|write| write.active == active);
            let edges = asked.map(|write| (write.user.uuid(), write.follower.uuid())).collect();
            for edge in edge::set(tx, Table::Followers, &edges, active).await? {
                let (user, follower) = (UserId::from_row(edge.owner), UserId::from_row(edge.other));
                *followers.entry(user).or_default() += if active { 1 } else { -1 };
                let version = edge.version;
                tx.emit_in(user.slot(), &Event::UserFollowed { user, follower, active, version })?;
            }
        }
        if !followers.is_empty() {
            user::count_each(tx, Counter::Followers, &followers).await?;
        }
        Ok(vec![Ok(()); writes.len()])
    }
}

impl Domain {
    /// Begins to follow somebody; again changes nothing.
    pub async fn follow_user(&self, viewer: &Viewer, id: UserId) -> Result<()> {
        if id == viewer.user {
            return Err(Error::invalid("id", "is your own"));
        }
        self.require_user(Some(viewer), id).await?;
        let follower = self.require_user(Some(viewer), viewer.user).await?;
        if u64::try_from(follower.following_count).unwrap_or(0) >= MAX_FOLLOWING {
            return Err(Error::Conflict("You follow as many people as one may."));
        }
        self.set_follow(id, viewer.user, true).await
    }

    /// Stops following somebody; again changes nothing.
    pub async fn unfollow_user(&self, viewer: &Viewer, id: UserId) -> Result<()> {
        self.require_user(Some(viewer), id).await?;
        self.set_follow(id, viewer.user, false).await
    }

    async fn set_follow(&self, user: UserId, follower: UserId, active: bool) -> Result<()> {
        let write = FollowWrite { user, follower, active };
        self.write_grouped(follower, &self.writes.follows, write).await
    }

    /// Who follows a user, the newest first.
    pub async fn followers(
        &self,
        viewer: Option<&Viewer>,
        user: UserId,
        page: &Page,
    ) -> Result<Slice<(Place, UserId)>> {
        self.list_edges(viewer, Table::Followers, user, page).await
    }

    /// Whom a user follows, the newest first.
    pub async fn following(
        &self,
        viewer: Option<&Viewer>,
        user: UserId,
        page: &Page,
    ) -> Result<Slice<(Place, UserId)>> {
        self.list_edges(viewer, Table::Following, user, page).await
    }

    async fn list_edges(
        &self,
        viewer: Option<&Viewer>,
        table: Table,
        user: UserId,
        page: &Page,
    ) -> Result<Slice<(Place, UserId)>> {
        let edges = list_page(self, viewer, table, (user.slot(), user.uuid()), page).await?;
        Ok(edges.map(|(place, id)| (place, UserId::from_row(id))))
    }
}

/// A page of edges with their places; it may be a little old.
pub(super) async fn list_page(
    domain: &Domain,
    viewer: Option<&Viewer>,
    table: Table,
    (slot, owner): (crate::model::id::Slot, uuid::Uuid),
    page: &Page,
) -> Result<Slice<(Place, uuid::Uuid)>> {
    let before = page.after.map(|place| Ok::<_, Error>((place.time()?, place.id))).transpose()?;
    let limit = u64::from(page.size) + 1;
    let read = |connection| async move { edge::list(&connection, table, owner, before, limit).await };
    let edges = domain.read_lagging(viewer.map(|viewer| viewer.user), domain.store.shard(slot), read).await?;
    let items = edges.into_iter().map(|edge| (Place::moment(edge.changed_at, edge.other), edge.other));
    Ok(Slice::cut(items.collect(), page))
}
