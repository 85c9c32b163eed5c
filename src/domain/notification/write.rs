//! Recording notices, those of several events in one transaction on the receivers' shard.

use std::collections::HashSet;

use crate::model::Result;
use crate::model::event::Event;
use crate::model::id::{EventId, PostId, Slot};
use crate::model::notification::{Kind, Notice};
use crate::model::stream::LogTopic;
use crate::store::Tx;
use crate::store::group_commit::GroupWrite;
use crate::store::inbox::{self, MessageOf};
use crate::store::log::{self, Entry};
use crate::store::notification::{self, NewNotice};
use crate::store::post;

/// A notice, with its event.
#[derive(Debug)]
pub(in crate::domain) struct NoticeWrite {
    pub event: EventId,
    pub notice: Notice,
}

impl GroupWrite for NoticeWrite {
    type Made = ();

    fn slot(&self) -> Slot {
        self.notice.receiver.slot()
    }

    /// What was deleted meanwhile is skipped.
    async fn write(tx: &Tx, writes: &[Self]) -> Result<Vec<Result<()>>> {
        // First: what is read now is not changed by what takes a message or a post away.
        log::lock(tx, writes.iter().map(|write| write.notice.receiver)).await?;
        let valid = valid(tx, writes).await?;
        let notices: Vec<NewNotice> = valid.iter().map(|(_, new)| *new).collect();
        let recorded = notification::record(tx, &notices).await?;
        let mut entries = Vec::new();
        for ((write, new), logged) in valid.iter().zip(recorded.logged) {
            let Some(id) = logged else { continue };
            let user = new.notice.receiver;
            let (topic, about, event) = (LogTopic::Notification, id.uuid(), Some(write.event));
            entries.push(Entry { user, topic, about, actor: None, version: 0, event });
            if matches!(new.notice.kind, Kind::Follow | Kind::FollowRequest) {
                let (topic, about, version) = (LogTopic::Follow, new.notice.actor.uuid(), new.notice.version);
                entries.push(Entry { user, topic, about, actor: None, version, event: None });
            }
        }
        for (user, n) in log::append_and_count(tx, &entries, &recorded.unread).await? {
            tx.emit_in(user.slot(), &Event::ReceiverLogged { user, n })?;
        }
        Ok(vec![Ok(()); writes.len()])
    }
}

impl NoticeWrite {
    /// The post that it is about, if that may lie on another shard than the receiver.
    pub fn post_elsewhere(&self) -> Option<PostId> {
        self.notice.post.filter(|_| self.post_here().is_none())
    }

    fn post_here(&self) -> Option<PostId> {
        self.notice.post.filter(|post| post.slot() == self.notice.receiver.slot())
    }

    fn message(&self) -> Option<MessageOf> {
        let Notice { receiver: user, target: conversation, version: seq, change, .. } = self.notice;
        Some(MessageOf { user, conversation, seq, change: change? })
    }
}

/// The notices whose post or message is still there for the receiver.
async fn valid<'a>(tx: &Tx, writes: &'a [NoticeWrite]) -> Result<Vec<(&'a NoticeWrite, NewNotice<'a>)>> {
    let posts: HashSet<PostId> = writes.iter().filter_map(NoticeWrite::post_here).collect();
    let posts = post::existing_in(tx, &posts.into_iter().collect::<Vec<_>>()).await?;
    let messages: Vec<MessageOf> = writes.iter().filter_map(NoticeWrite::message).collect();
    let known = inbox::known_messages(tx, &messages).await?;
    let mut asked = 0..messages.len();
    let mut valid = Vec::with_capacity(writes.len());
    for write in writes {
        let message = write.message().and(asked.next()).and_then(|place| known.get(&place));
        let is_gone = write.post_here().is_some_and(|post| !posts.contains(&post))
            || message.is_some_and(|message| message.is_muted || message.has_left || message.is_deleted);
        if !is_gone {
            let is_read = message.is_some_and(|message| message.is_read);
            valid.push((write, NewNotice { notice: &write.notice, is_read }));
        }
    }
    Ok(valid)
}
