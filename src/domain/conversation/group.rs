//! Conversations that are started before anybody writes, and who takes part in them.

use serde::Serialize;

use super::change::next_change;
use super::message::Room;
use crate::domain::viewer::Viewer;
use crate::domain::{Domain, text};
use crate::model::conversation::{ConversationKind, MAX_MEMBERS};
use crate::model::id::{ConversationId, Slot, UserId};
use crate::model::idempotency::IdempotencyKey;
use crate::model::idempotency::{Created, Request};
use crate::model::{Error, Result};
use crate::store::idempotency::Record;
use crate::store::{Tx, conversation, idempotency, media, member, message};

/// The most characters in a group's title.
pub const MAX_TITLE: usize = 100;
/// How many messages of a group that has ended are deleted at once.
const PURGED: i64 = 500;
/// How many such groups a run looks at.
const PURGED_GROUPS: i64 = 100;

/// A conversation to be started, checked.
#[derive(Debug, Clone, Serialize)]
pub struct NewConversation {
    /// The others, each once.
    pub members: Vec<UserId>,
    pub title: Option<String>,
}

impl NewConversation {
    /// Checks the title and the number of members.
    pub fn parse(members: &[UserId], title: Option<&str>) -> Result<Self> {
        let title = text::optional_line("input.title", title, MAX_TITLE)?;
        if members.is_empty() {
            return Err(Error::invalid("input.memberIds", "is empty"));
        }
        if i64::try_from(members.len()).is_ok_and(|others| others >= MAX_MEMBERS) {
            let most = format!("has more than {} others", MAX_MEMBERS - 1);
            return Err(Error::invalid("input.memberIds", most));
        }
        let mut members = members.to_vec();
        members.sort_unstable();
        members.dedup();
        Ok(Self { members, title })
    }

    /// One other and no title is the direct conversation of the two; all else is a group. Its slot hangs on
    /// who asks and on the key, so that the same request finds what it has made.
    fn room(&self, starter: UserId, key: &IdempotencyKey) -> (Option<Room>, Slot) {
        if let ([other], None) = (self.members.as_slice(), &self.title) {
            let room = Room::direct(starter, *other);
            return (Some(room), room.slot());
        }
        let asked = [starter.uuid().as_bytes(), key.as_str().as_bytes()].concat();
        (None, Slot::of_bytes(&asked))
    }
}

impl Domain {
    /// Starts a conversation with some others, or finds the direct one that is there.
    pub async fn start_conversation(
        &self,
        viewer: &Viewer,
        key: IdempotencyKey,
        new: &NewConversation,
    ) -> Result<Created<ConversationId>> {
        let starter = viewer.user;
        if new.members.contains(&starter) {
            return Err(Error::invalid("input.memberIds", "has your own id"));
        }
        let (direct, slot) = new.room(starter, &key);
        let request = &Request::new("startConversation", key, new)?;
        match self.require_may_message(viewer, &new.members).await {
            // An existing conversation is found even if a new one could not be started now.
            Err(refusal @ Error::Forbidden(_)) if direct.is_some() => {
                self.direct_with(viewer, new.members[0]).await?.ok_or(refusal)?;
            }
            Err(refusal) => {
                let before = self.made_before(slot, starter, request).await?.ok_or(refusal)?;
                return Ok(Created { id: ConversationId::from_row(before), replayed: true });
            }
            Ok(()) => {}
        }
        let made = ConversationId::make(&self.clock, slot);
        self.write(starter, slot, |tx| async move {
            let id = match direct {
                Some(room) => room.enter(&tx, starter).await?,
                None => made,
            };
            if let Record::Replayed(id) = idempotency::take(&tx, starter, request, id.uuid()).await? {
                return Ok(Created { id: ConversationId::from_row(id), replayed: true });
            }
            if direct.is_none() {
                start_group(&tx, id, starter, new).await?;
            }
            Ok(Created { id, replayed: false })
        })
        .await
    }

    /// Adds a user to a group, or removes one. Everybody in it may bring others and leave; only who has been
    /// in it longest may take others out. In and out of the thread of a post goes everybody alone.
    pub async fn set_conversation_member(
        &self,
        viewer: &Viewer,
        id: ConversationId,
        user: UserId,
        member: bool,
    ) -> Result<()> {
        let kind = self.require_conversation(Some(viewer), id).await?.kind();
        let by = viewer.user;
        match kind {
            ConversationKind::Direct => {
                return Err(Error::Conflict("A direct conversation is between its two people."));
            }
            ConversationKind::Post if user != by => {
                return Err(Error::Forbidden("Each decides alone whether to follow the thread of a post."));
            }
            ConversationKind::Group if member && user != by => {
                self.require_may_message(viewer, &[user]).await?;
            }
            ConversationKind::Post | ConversationKind::Group => {}
        }
        self.write(by, id.slot(), |tx| async move {
            if kind == ConversationKind::Post {
                conversation::thread(&tx, id.as_thread_of()).await?;
            }
            conversation::lock(&tx, id).await?.ok_or(Error::NotFound("conversation"))?;
            if member {
                take_in(&tx, kind, id, by, user).await
            } else {
                take_out(&tx, kind, id, by, user).await
            }
        })
        .await
    }

    /// Deletes what is left of groups on this shard that nobody is in any more. One that can't be deleted yet,
    /// because a shard with images of its is away, keeps no other waiting. May be stopped anywhere.
    pub async fn purge_ended(&self, shard: usize) -> Result<()> {
        let ended =
            self.store.read_shard(shard, async |c| conversation::ended(&c, PURGED_GROUPS).await).await?;
        let mut result = Ok(());
        for id in ended {
            result = result.and(self.purge_group(shard, id).await);
        }
        result
    }

    /// The images are freed before the messages go, so that a run that stops leaves nothing behind that nobody
    /// finds.
    async fn purge_group(&self, shard: usize, id: ConversationId) -> Result<()> {
        loop {
            let read = async |connection| message::oldest(&connection, id, PURGED).await;
            let messages = self.store.read_shard(shard, read).await?;
            if messages.is_empty() {
                return self
                    .store
                    .read_shard(shard, async |c| conversation::delete_ended(&c, id).await)
                    .await;
            }
            let shown = messages.iter().filter(|message| !message.media_ids.is_empty()).cloned();
            let free = |tx: Tx, messages: Vec<message::Model>| async move {
                let images: Vec<_> = messages.into_iter().flat_map(|message| message.media_ids).collect();
                media::release(&tx, id.uuid(), &images).await
            };
            let freed = self.store.scatter_tx(shown.collect(), |message| message.sender().slot(), free);
            freed.await.into_iter().collect::<Result<()>>()?;
            let ids: Vec<_> = messages.iter().map(message::Model::id).collect();
            self.store.read_shard(shard, async |c| message::delete(&c, &ids).await).await?;
        }
    }
}

async fn start_group(tx: &Tx, id: ConversationId, starter: UserId, new: &NewConversation) -> Result<()> {
    conversation::start_group(tx, id, new.title.as_deref()).await?;
    member::found(tx, id, starter, &new.members).await?;
    next_change(tx, id, Vec::new()).await.map(|_| ())
}

async fn take_in(
    tx: &Tx,
    kind: ConversationKind,
    id: ConversationId,
    by: UserId,
    user: UserId,
) -> Result<()> {
    let members = member::oldest(tx, id, MAX_MEMBERS).await?;
    if kind == ConversationKind::Group {
        // They may have been taken out since they were let into here.
        if !members.contains(&by) {
            return Err(Error::NotFound("conversation"));
        }
        if !members.contains(&user) && i64::try_from(members.len()).is_ok_and(|count| count >= MAX_MEMBERS) {
            return Err(Error::Conflict("The group has as many members as one may have."));
        }
    }
    if member::join(tx, id, user).await? {
        next_change(tx, id, Vec::new()).await?;
    }
    Ok(())
}

async fn take_out(
    tx: &Tx,
    kind: ConversationKind,
    id: ConversationId,
    by: UserId,
    user: UserId,
) -> Result<()> {
    let members = member::oldest(tx, id, 2).await?;
    if user != by && members.first() != Some(&by) {
        return Err(Error::Forbidden("Only who has been in the group longest may take others out."));
    }
    if !member::leave(tx, id, user).await? {
        return Ok(());
    }
    if kind == ConversationKind::Group && members == [user] {
        conversation::end(tx, id).await?;
    }
    next_change(tx, id, vec![user]).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Clock;

    #[test]
    fn who_is_named_twice_is_one_member() {
        let [one, other] = std::array::from_fn(|_| UserId::make(&Clock::system(), Slot::random()));
        let new = NewConversation::parse(&[one, other, one], None).expect("good");
        assert_eq!(new.members.len(), 2);
        assert!(NewConversation::parse(&[], Some("title")).is_err());
        let many: Vec<UserId> = (0..256).map(|_| UserId::make(&Clock::system(), Slot::random())).collect();
        assert!(NewConversation::parse(&many[..255], None).is_ok());
        assert!(NewConversation::parse(&many, None).is_err());
    }

    #[test]
    fn the_same_request_goes_to_the_same_slot() {
        let [one, other, third] = std::array::from_fn(|_| UserId::make(&Clock::system(), Slot::random()));
        let key = |text| IdempotencyKey::parse("key", text).expect("a key");
        let direct = NewConversation::parse(&[other], None).expect("good");
        assert_eq!(direct.room(one, &key("a")).1, Room::direct(other, one).slot());
        let group = NewConversation::parse(&[other, third], None).expect("good");
        assert_eq!(group.room(one, &key("a")).1, group.room(one, &key("a")).1);
        assert!(group.room(one, &key("a")).0.is_none());
    }
}
