//! Who follows whom. The edge lies with the followed user, whose privacy decides; the follower's side is
//! a mirror that a consumer keeps.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::Domain;
use super::fill::{Filling, UserPage};
use super::viewer::Viewer;
use crate::domain::activity::Activity;
use crate::model::event::Event;
use crate::model::id::{Slot, UserId};
use crate::model::page::{Page, Place};
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
    /// Follows a user; does nothing if the viewer follows them already.
    pub async fn follow_user(&self, viewer: &Viewer, id: UserId) -> Result<()> {
        if id == viewer.user {
            return Err(Error::invalid("id", "is your own"));
        }
        self.require_user(Some(viewer), id).await?;
        let follower = self.require_user(Some(viewer), viewer.user).await?;
        if u64::try_from(follower.following_count).unwrap_or(0) >= MAX_FOLLOWING {
            return Err(Error::Conflict("You follow as many people as one may."));
        }
        self.set_follow(id, viewer.user, true).await?;
        Activity::Follow.count();
        Ok(())
    }

    /// Unfollows a user; does nothing if the viewer does not follow them.
    pub async fn unfollow_user(&self, viewer: &Viewer, id: UserId) -> Result<()> {
        self.require_user(Some(viewer), id).await?;
        self.set_follow(id, viewer.user, false).await
    }

    async fn set_follow(&self, user: UserId, follower: UserId, active: bool) -> Result<()> {
        let write = FollowWrite { user, follower, active };
        self.write_grouped(follower, &self.writes.follows, write).await
    }

    /// Who follows a user, the newest first.
    pub async fn followers(&self, viewer: Option<&Viewer>, user: UserId, page: &Page) -> Result<UserPage> {
        self.list_edges(viewer, Table::Followers, (user.slot(), user.uuid()), page).await
    }

    /// Whom a user follows, the newest first.
    pub async fn following(&self, viewer: Option<&Viewer>, user: UserId, page: &Page) -> Result<UserPage> {
        self.list_edges(viewer, Table::Following, (user.slot(), user.uuid()), page).await
    }

    /// The users at the other ends of a user's or post's edges. The list may be slightly stale.
    pub(super) async fn list_edges(
        &self,
        viewer: Option<&Viewer>,
        table: Table,
        (slot, owner): (Slot, Uuid),
        page: &Page,
    ) -> Result<UserPage> {
        let reader = viewer.map(|viewer| viewer.user);
        let mut filling = Filling::of(page);
        while let Some(page) = filling.wanted() {
            let before = page.after.map(|place| Ok::<_, Error>((place.time()?, place.id))).transpose()?;
            let limit = u64::from(page.size) + 1;
            let read = |connection| async move { edge::list(&connection, table, owner, before, limit).await };
            let edges = self.read_lagging(reader, self.store.shard(slot), read).await?;
            let place = |edge: edge::Listed| {
                (Place::moment(edge.changed_at, edge.other), UserId::from_row(edge.other))
            };
            filling.add(self.see_users(viewer, edges.into_iter().map(place).collect()).await);
        }
        Ok(filling.finish())
    }
}
