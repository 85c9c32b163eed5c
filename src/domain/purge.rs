//! What is left of a deleted post goes: from lists, from notifications, and then its rows.

use std::collections::{BTreeSet, HashMap};

use uuid::Uuid;

use super::Domain;
use crate::model::Result;
use crate::model::id::{ConversationId, PostId, UserId};
use crate::model::notification::Kind;
use crate::store::notification::Target;
use crate::store::{comment, member, post, stream};

/// How many members of the thread, or comments, are looked at at once.
const AT_ONCE: i64 = 500;
/// Of how many writers in a thread of replies each may have been answered by each. With more, notifications of
/// replies to replies stay hidden where they are.
const MAX_ANSWERED: usize = 20;

/// Who wrote below each comment, the comment's author among them.
type Writers = HashMap<Uuid, BTreeSet<UserId>>;

impl Domain {
    /// Removes what is left of a deleted post: the thread from its members' lists, what notified of the post and
    /// of its comments, and then its rows. May run twice.
    pub async fn purge_post(&self, id: PostId, author: UserId) -> Result<()> {
        self.close_thread(ConversationId::of_post(id)).await?;
        self.forget_post(id, author).await?;
        self.store.read(id.slot(), async |connection| post::purge(&connection, id).await).await
    }

    async fn close_thread(&self, thread: ConversationId) -> Result<()> {
        let mut after = None;
        loop {
            let read = async |connection| member::ids_after(&connection, thread, after, AT_ONCE).await;
            let users = self.store.read(thread.slot(), read).await?;
            after = users.last().copied();
            if after.is_none() {
                return Ok(());
            }
            // Nothing that is late brings it back.
            self.take_out(thread, &users, i64::MAX).await?;
        }
    }

    async fn forget_post(&self, id: PostId, author: UserId) -> Result<()> {
        let read = async |connection| post::find(&connection, id).await;
        let post = self.store.read(id.slot(), read).await?;
        let mentions = post.iter().flat_map(post::Model::mentions);
        let mut gone: Vec<Target> = mentions.map(|user| (user, Kind::Mention, id.uuid())).collect();
        gone.extend([Kind::Like, Kind::Comment].map(|kind| (author, kind, id.uuid())));
        let (mut after, mut writers) = (0, Writers::new());
        loop {
            self.withdraw_notifications(gone).await?;
            let read = async |connection| stream::comments_after(&connection, id, after, AT_ONCE).await;
            let comments = self.store.read(id.slot(), read).await?;
            let Some(last) = comments.last().and_then(|last| last.n) else { return Ok(()) };
            after = last;
            gone = comments.iter().flat_map(|comment| told_of(comment, &mut writers)).collect();
        }
    }
}

/// Whom a comment may have notified, besides the post's author. A post's comments come in their order.
fn told_of(comment: &comment::Model, writers: &mut Writers) -> Vec<Target> {
    let below = writers.entry(comment.parent_id.unwrap_or(comment.id)).or_default();
    let answered = below.iter().filter(|_| comment.parent_id.is_some()).copied();
    let answered: Vec<UserId> = answered.take(MAX_ANSWERED).collect();
    below.insert(comment.author());
    let mentioned = comment.mentions().map(|user| (user, Kind::Mention, comment.id));
    mentioned.chain(answered.into_iter().map(|user| (user, Kind::Reply, comment.id))).collect()
}
