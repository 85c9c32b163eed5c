//! Who follows whom, and who has asked to. The edge lies with the followed user, whose privacy decides; the
//! follower's side is a mirror that a consumer keeps.

use std::collections::{BTreeMap, BTreeSet};

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

/// How many requests are accepted in one transaction, where an account becomes public.
const ACCEPTED: u64 = 500;

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

    /// A follow of a private account becomes a request, unless it is there already. An end ends both.
    async fn write(tx: &Tx, writes: &[Self]) -> Result<Vec<Result<()>>> {
        let private = user::lock_private(tx, writes.iter().map(|write| write.user)).await?;
        let edges = |active| {
            let asked = writes.iter().filter(move |write| write.active == active);
            asked.map(|write| (write.user.uuid(), write.follower.uuid()))
        };
        let (asked, open): (Edges, Edges) =
            edges(true).partition(|(user, _)| private.contains(&UserId::from_row(*user)));
        let ended: Edges = edges(false).collect();
        let known = edge::active(tx, Table::Followers, &asked).await?;
        set_requests(tx, &asked.difference(&known).copied().collect(), true).await?;
        set_requests(tx, &ended, false).await?;
        let mut followers = BTreeMap::new();
        set_followers(tx, &open, true, false, &mut followers).await?;
        set_followers(tx, &ended, false, false, &mut followers).await?;
        count_followers(tx, &followers).await?;
        Ok(vec![Ok(()); writes.len()])
    }
}

/// (followed user, follower)
type Edges = BTreeSet<(Uuid, Uuid)>;

async fn set_requests(tx: &Tx, edges: &Edges, active: bool) -> Result<()> {
    for edge in edge::set(tx, Table::Requests, edges, active).await? {
        let (user, follower) = (UserId::from_row(edge.owner), UserId::from_row(edge.other));
        let version = edge.version;
        tx.emit_in(user.slot(), &Event::FollowRequested { user, follower, active, version })?;
    }
    Ok(())
}

/// Begins or ends follows, and adds what that changes to the users' counts.
async fn set_followers(
    tx: &Tx,
    edges: &Edges,
    active: bool,
    accepted: bool,
    counts: &mut BTreeMap<UserId, i32>,
) -> Result<()> {
    for edge in edge::set(tx, Table::Followers, edges, active).await? {
        let (user, follower) = (UserId::from_row(edge.owner), UserId::from_row(edge.other));
        *counts.entry(user).or_default() += if active { 1 } else { -1 };
        let version = edge.version;
        tx.emit_in(user.slot(), &Event::UserFollowed { user, follower, active, version, accepted })?;
    }
    Ok(())
}

async fn count_followers(tx: &Tx, counts: &BTreeMap<UserId, i32>) -> Result<()> {
    if counts.is_empty() { Ok(()) } else { user::count_each(tx, Counter::Followers, counts).await }
}

/// Makes followers of those who have asked.
async fn accept(tx: &Tx, edges: &Edges) -> Result<()> {
    set_requests(tx, edges, false).await?;
    let mut followers = BTreeMap::new();
    set_followers(tx, edges, true, true, &mut followers).await?;
    count_followers(tx, &followers).await
}

impl Domain {
    /// Follows a user, or asks to, if the account is private; does nothing if the viewer does so already.
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

    /// Unfollows a user, or takes the request back; does nothing if there is neither.
    pub async fn unfollow_user(&self, viewer: &Viewer, id: UserId) -> Result<()> {
        self.require_user(Some(viewer), id).await?;
        self.set_follow(id, viewer.user, false).await
    }

    async fn set_follow(&self, user: UserId, follower: UserId, active: bool) -> Result<()> {
        let write = FollowWrite { user, follower, active };
        self.write_grouped(follower, &self.writes.follows, write).await
    }

    /// Takes the viewer's follower away, or the request; does nothing if there is neither.
    pub async fn remove_follower(&self, viewer: &Viewer, follower: UserId) -> Result<()> {
        self.require_user(Some(viewer), follower).await?;
        let write = FollowWrite { user: viewer.user, follower, active: false };
        self.write_grouped(viewer.user, &self.writes.follows, write).await
    }

    /// Accepts a request to follow the viewer, or refuses it. `NotFound` if there is none, unless what is asked for is
    /// the case already.
    pub async fn answer_follow_request(
        &self,
        viewer: &Viewer,
        follower: UserId,
        accepts: bool,
    ) -> Result<()> {
        let user = viewer.user;
        let edge = &Edges::from([(user.uuid(), follower.uuid())]);
        self.write(user, user.slot(), |tx| async move {
            user::lock(&tx, user).await?.ok_or(Error::Unauthenticated)?;
            if edge::active(&tx, Table::Requests, edge).await?.is_empty() {
                let follows = !edge::active(&tx, Table::Followers, edge).await?.is_empty();
                return if accepts && follows { Ok(()) } else { Err(Error::NotFound("request")) };
            }
            if accepts { accept(&tx, edge).await } else { set_requests(&tx, edge, false).await }
        })
        .await
    }

    /// Accepts all who have asked to follow an account that is public by now; for the consumer of
    /// `Event::AccountOpened`. May run twice.
    pub async fn accept_all(&self, user: UserId) -> Result<()> {
        loop {
            let accepted = self
                .store
                .tx(user.slot(), |tx| async move {
                    let found = user::lock(&tx, user).await?;
                    if found.is_none_or(|found| found.is_private) {
                        return Ok(0);
                    }
                    let asked = edge::newest(&tx, Table::Requests, user.uuid(), ACCEPTED).await?;
                    let edges: Edges = asked.into_iter().map(|other| (user.uuid(), other)).collect();
                    accept(&tx, &edges).await?;
                    Ok(edges.len())
                })
                .await?;
            if accepted == 0 {
                return Ok(());
            }
        }
    }

    /// Who has asked to follow the viewer, the newest first.
    pub async fn follow_requests(&self, viewer: &Viewer, page: &Page) -> Result<UserPage> {
        let user = viewer.user;
        self.list_edges(Some(viewer), Table::Requests, (user.slot(), user.uuid()), page).await
    }

    /// Who follows a user, the newest first; none if the account is private and the viewer does not follow it.
    pub async fn followers(
        &self,
        viewer: Option<&Viewer>,
        user: UserId,
        page: &Page,
    ) -> Result<Option<UserPage>> {
        self.list_inside(viewer, Table::Followers, user, page).await
    }

    /// Whom a user follows, the newest first; none if the account is private and the viewer does not follow it.
    pub async fn following(
        &self,
        viewer: Option<&Viewer>,
        user: UserId,
        page: &Page,
    ) -> Result<Option<UserPage>> {
        self.list_inside(viewer, Table::Following, user, page).await
    }

    async fn list_inside(
        &self,
        viewer: Option<&Viewer>,
        table: Table,
        user: UserId,
        page: &Page,
    ) -> Result<Option<UserPage>> {
        let users = self.list_edges(viewer, table, (user.slot(), user.uuid()), page).await?;
        // After the list: who has come since the account became private is not seen by others.
        Ok(self.require_inside(viewer, user).await?.map(|_| users))
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
