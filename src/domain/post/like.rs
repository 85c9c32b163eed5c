//! Likes on posts. The edge lies with the post, whose count it changes; the liker's side is a mirror that a
//! consumer keeps.

use std::collections::{BTreeMap, HashMap};

use crate::domain::Domain;
use crate::domain::activity::Activity;
use crate::domain::fill::UserPage;
use crate::domain::viewer::Viewer;
use crate::model::event::Event;
use crate::model::id::{PostId, Slot, UserId};
use crate::model::page::Page;
use crate::model::{Error, Result};
use crate::store::Tx;
use crate::store::edge::{self, Table};
use crate::store::group_commit::GroupWrite;

/// A like, or its end.
#[derive(Debug, Clone, Copy)]
pub(in crate::domain) struct LikeWrite {
    post: PostId,
    author: UserId,
    user: UserId,
    active: bool,
}

impl GroupWrite for LikeWrite {
    type Made = ();

    fn slot(&self) -> Slot {
        self.post.slot()
    }

    async fn write(tx: &Tx, writes: &[Self]) -> Result<Vec<Result<()>>> {
        let authors: HashMap<PostId, UserId> =
            writes.iter().map(|write| (write.post, write.author)).collect();
        let mut likes = BTreeMap::new();
        for active in [true, false] {
            let asked = writes.iter().filter(|write| write.active == active);
            let edges = asked.map(|write| (write.post.uuid(), write.user.uuid())).collect();
            for edge in edge::set(tx, Table::Likes, &edges, active).await? {
                let (post, user) = (PostId::from_row(edge.owner), UserId::from_row(edge.other));
                *likes.entry(post).or_default() += if active { 1 } else { -1 };
                let (author, version) = (authors[&post], edge.version);
                tx.emit_in(post.slot(), &Event::PostLiked { post, author, user, active, version })?;
            }
        }
        // Of several, each is then written alone, and only that of the post that is gone is refused.
        if !likes.is_empty() && !edge::count_likes(tx, &likes).await? {
            return Err(Error::NotFound("post"));
        }
        Ok(vec![Ok(()); writes.len()])
    }
}

impl Domain {
    /// Likes a post, or takes the like back; again changes nothing.
    pub async fn set_like(&self, viewer: &Viewer, id: PostId, active: bool) -> Result<()> {
        let seen = self.require_post(Some(viewer), id).await?;
        if active && seen.post.likes_disabled {
            return Err(Error::Forbidden("The author has turned likes off."));
        }
        let (user, author) = (viewer.user, seen.author.id());
        let write = LikeWrite { post: id, author, user, active };
        self.write_grouped(user, &self.writes.likes, write).await?;
        if active {
            Activity::Like.count();
        }
        Ok(())
    }

    /// Who likes a post, the newest first.
    pub async fn likers(&self, viewer: Option<&Viewer>, post: PostId, page: &Page) -> Result<UserPage> {
        self.list_edges(viewer, Table::Likes, (post.slot(), post.uuid()), page).await
    }
}
