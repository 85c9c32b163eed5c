//! Writing messages into conversations, those of several requests together.

use std::collections::HashMap;

use time::OffsetDateTime;
use uuid::Uuid;

use super::new::{NewMessage, Room};
use crate::domain::idempotency::Taken;
use crate::model::conversation::{ConversationKind, MAX_INBOXES};
use crate::model::event::{Event, Sent};
use crate::model::id::{ConversationId, MessageId, PostId, Slot, UserId};
use crate::model::idempotency::{Created, Request};
use crate::model::{Error, Result, clock};
use crate::store::group_commit::GroupWrite;
use crate::store::idempotency::Taking;
use crate::store::{Tx, conversation, member, message};

/// A new message, to where its sender may write.
#[derive(Debug)]
pub(in crate::domain) struct MessageWrite {
    pub id: MessageId,
    pub sender: UserId,
    pub room: Room,
    pub message: NewMessage,
    pub request: Request,
}

type Pairs = HashMap<(UserId, UserId), ConversationId>;

impl GroupWrite for MessageWrite {
    type Made = Created<MessageId>;

    fn slot(&self) -> Slot {
        self.room.slot()
    }

    async fn write(tx: &Tx, writes: &[Self]) -> Result<Vec<Result<Created<MessageId>>>> {
        let mut taken = Taken::take(tx, writes.iter().map(Self::taking).collect()).await?;
        let fresh: Vec<usize> = taken.fresh().collect();
        let pairs: Vec<_> = fresh.iter().filter_map(|place| writes[*place].pair()).collect();
        let pairs = conversation::of_pairs(tx, &pairs).await?;
        let answered: Vec<MessageId> =
            fresh.iter().filter_map(|place| writes[*place].message.reply_to).collect();
        let answered = message::find_all(tx, &answered).await?;
        let mut entered = Vec::with_capacity(fresh.len());
        for place in &fresh {
            let write = &writes[*place];
            let known = write.conversation(&pairs);
            if let Err(refusal) = write.check_answered(known, &answered) {
                taken.refuse(*place, refusal);
                continue;
            }
            let conversation = match (write.room, known) {
                (Room::Members(id), _) | (Room::Direct(..), Some(id)) => id,
                (room, _) => room.enter(tx, write.sender).await?,
            };
            entered.push((*place, conversation));
        }
        let mut rows = Vec::with_capacity(entered.len());
        let ids: Vec<ConversationId> = entered.iter().map(|(_, id)| *id).collect();
        let mut held = conversation::lock_all(tx, &ids).await?;
        let members = member::newest_of_each(tx, &ids, MAX_INBOXES).await?;
        for (place, id) in entered {
            let write = &writes[place];
            let receivers = held.get(&id).and_then(|row| write.receivers(row, members.get(&id)?));
            let (Some(receivers), Some(row)) = (receivers, held.get_mut(&id)) else {
                taken.refuse(place, Error::NotFound("conversation"));
                continue;
            };
            row.seq += 1;
            row.change += 1;
            let now = tx.clock().now();
            rows.push(write.row(row, now));
            tx.emit_in(write.slot(), &write.event(row, receivers, now))?;
        }
        if !rows.is_empty() {
            let written = |row: &&conversation::Model| rows.iter().any(|made| made.conversation_id == row.id);
            conversation::write_counters(tx, &held.values().filter(written).collect::<Vec<_>>()).await?;
            message::insert(tx, &rows).await?;
        }
        let answers = taken.settle(tx, &fresh).await?;
        Ok(answers.into_iter().map(|made| made.map(|made| made.map(MessageId::from_row))).collect())
    }
}

impl MessageWrite {
    fn taking(&self) -> Taking<'_> {
        Taking { slot: self.slot(), caller: self.sender, request: &self.request, id: self.id.uuid() }
    }

    fn pair(&self) -> Option<(UserId, UserId)> {
        match self.room {
            Room::Direct(low, high) => Some((low, high)),
            Room::Members(_) | Room::Thread(_) => None,
        }
    }

    /// Where it goes; none for the first message of two people.
    fn conversation(&self, pairs: &Pairs) -> Option<ConversationId> {
        match self.room {
            Room::Members(id) => Some(id),
            Room::Thread(post) => Some(ConversationId::of_post(post)),
            Room::Direct(low, high) => pairs.get(&(low, high)).copied(),
        }
    }

    fn check_answered(
        &self,
        conversation: Option<ConversationId>,
        answered: &HashMap<MessageId, message::Model>,
    ) -> Result<()> {
        let Some(id) = self.message.reply_to else { return Ok(()) };
        let found = answered.get(&id).map(message::Model::conversation);
        if found.is_some() && found == conversation {
            return Ok(());
        }
        Err(Error::invalid("input.replyToId", "is not a message of this conversation"))
    }

    /// Whose inboxes it goes to; nobody's if the sender is no member. Of a thread with more writers than
    /// [`MAX_INBOXES`], an early one may be missing among the members. Other conversations have fewer: who is
    /// missing there has left, or was never one.
    fn receivers(&self, conversation: &conversation::Model, members: &[UserId]) -> Option<Vec<UserId>> {
        let is_member = members.contains(&self.sender);
        if !is_member && conversation.kind() != ConversationKind::Post {
            return None;
        }
        let sender = (!is_member).then_some(self.sender);
        Some(members.iter().copied().chain(sender).collect())
    }

    fn row(&self, counted: &conversation::Model, now: OffsetDateTime) -> message::Model {
        message::Model {
            id: self.id.uuid(),
            conversation_id: counted.id,
            seq: counted.seq,
            sent_change: counted.change,
            change: counted.change,
            sender_id: self.sender.uuid(),
            idempotency_key: Some(self.request.key.as_str().to_owned()),
            text: self.message.text.clone(),
            media_ids: self.message.media.iter().copied().map(Uuid::from).collect(),
            shared_post_id: self.message.shared_post.map(PostId::uuid),
            reply_to_id: self.message.reply_to.map(MessageId::uuid),
            created_at: now,
            edited_at: None,
            deleted_at: None,
            edited_change: 0,
            changed_at: None,
        }
    }

    fn event(&self, counted: &conversation::Model, members: Vec<UserId>, now: OffsetDateTime) -> Event {
        let sent = Sent { seq: counted.seq, sender: self.sender, members, at: clock::to_millis(now) };
        let (conversation, change) = (counted.id(), counted.change);
        Event::ConversationChanged { conversation, change, sent: Some(sent), left: Vec::new() }
    }
}
