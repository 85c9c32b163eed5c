//! The mirrors of edges: what a user likes, and whom a user follows. A consumer writes them, several events in one
//! transaction.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Domain, feed};
use crate::model::Result;
use crate::model::id::{PostId, Slot, UserId};
use crate::model::stream::Position;
use crate::store::Tx;
use crate::store::edge::{self, Known, Table};
use crate::store::group_commit::GroupWrite;
use crate::store::user::{self, Counter};

/// The mirror of an edge, as of a version of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct MirrorWrite {
    table: Table,
    owner: UserId,
    other: Uuid,
    edge: Known,
}

impl GroupWrite for MirrorWrite {
    type Made = ();

    fn slot(&self) -> Slot {
        self.owner.slot()
    }

    async fn write(tx: &Tx, writes: &[Self]) -> Result<Vec<Result<()>>> {
        for table in [Table::Liked, Table::Following] {
            let mut newest: BTreeMap<(Uuid, Uuid), Known> = BTreeMap::new();
            for write in writes.iter().filter(|write| write.table == table) {
                let known = newest.entry((write.owner.uuid(), write.other)).or_insert(write.edge);
                if known.version < write.edge.version {
                    *known = write.edge;
                }
            }
            let mut counts = BTreeMap::new();
            for (owner, by) in edge::mirror(tx, table, &newest).await? {
                *counts.entry(UserId::from_row(owner)).or_default() += by;
            }
            if table == Table::Following && !counts.is_empty() {
                user::count_each(tx, Counter::Following, &counts).await?;
            }
        }
        Ok(vec![Ok(()); writes.len()])
    }
}

impl Domain {
    /// Brings the liker's side to a version of the like.
    pub async fn mirror_like(&self, post: PostId, user: UserId, active: bool, version: i64) -> Result<()> {
        self.mirror(Table::Liked, user, post.uuid(), Known { active, version }).await
    }

    /// Brings the follower's side to a version of the edge, and has the feed built anew with it.
    pub async fn mirror_follow(
        &self,
        user: UserId,
        follower: UserId,
        active: bool,
        version: i64,
    ) -> Result<()> {
        self.mirror(Table::Following, follower, user.uuid(), Known { active, version }).await?;
        // Also where nothing changed: a delivery before this one may have stopped between the two.
        self.feeds.forget(follower).await?;
        // Whoever listens to the feed learns at once that it has to be read anew.
        feed::wake(&self.bus, &[(follower, Position::default())]).await;
        Ok(())
    }

    async fn mirror(&self, table: Table, owner: UserId, other: Uuid, edge: Known) -> Result<()> {
        self.write_grouped(owner, &self.writes.mirrors, MirrorWrite { table, owner, other, edge }).await
    }
}
