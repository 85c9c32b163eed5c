//! Members' inboxes against their conversations.

use std::collections::HashMap;

use uuid::Uuid;

use super::target::{BATCH, PAGE, Target};
use crate::model::Result;
use crate::model::conversation::MAX_INBOXES;
use crate::model::id::{ConversationId, slot_of};
use crate::store::audit::inbox::{self as audit, Entry, Member, Pair};

pub(super) async fn look(target: &mut Target<'_>) -> Result<()> {
    from_conversations(target).await?;
    from_inboxes(target).await
}

/// Looks for members of this shard's conversations whose inbox lacks the last message.
async fn from_conversations(target: &mut Target<'_>) -> Result<()> {
    let mut after = (Uuid::nil(), Uuid::nil());
    loop {
        let page = async |connection| audit::page(&connection, after, PAGE, MAX_INBOXES).await;
        let mut page = target.ask(page).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.conversation_id, last.user_id);
        target.looked(page.len());
        let cutoff = target.cutoff();
        page.retain(|member| member.was_told && member.sent_at < cutoff);
        let behind = |connection, members| async move { audit::behind(&connection, members).await };
        let suspects = target.ask_owners(page, |member: &Member| slot_of(member.user_id), behind).await;
        look_again(target, &suspects).await;
    }
}

/// Looks for entries in this shard's inboxes that no conversation is behind, or not so many messages, or that
/// count deleted ones.
async fn from_inboxes(target: &mut Target<'_>) -> Result<()> {
    let mut after = (Uuid::nil(), Uuid::nil());
    loop {
        let page = async |connection| audit::entries(&connection, after, PAGE).await;
        let page = target.ask(page).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.user_id, last.conversation_id);
        target.looked(page.len());
        let owner = |entry: &Entry| slot_of(entry.conversation_id);
        let strange = |connection, entries| async move { audit::strange(&connection, entries).await };
        let suspects = target.ask_owners(page.clone(), owner, strange).await;
        look_again(target, &suspects).await;
        let (cutoff, unread) =
            (target.cutoff(), page.into_iter().filter(|entry| entry.last_seq > entry.read_seq));
        let counted =
            |connection, entries| async move { audit::counted_deleted(&connection, entries, cutoff).await };
        for found in target.ask_owners(unread.collect(), owner, counted).await {
            let what = format!("counts message {} as unread, which was deleted", found.seq);
            let follow = async {
                let id = ConversationId::from_row(found.conversation_id);
                target.domain.follow_conversation(id, found.change, &[]).await.map(|()| true)
            };
            let mended = target.mends(follow).await;
            target.fault(format!("{} {}", found.user_id, found.conversation_id), what, mended);
        }
    }
}

async fn look_again(target: &mut Target<'_>, suspects: &[Pair]) {
    for pairs in suspects.chunks(BATCH) {
        match compare(target, pairs).await {
            Ok(faults) => {
                for (pair, what) in faults {
                    let mended = target.mends(mend(target, pair)).await;
                    target.fault(format!("{} {}", pair.0, pair.1), what, mended);
                }
            }
            Err(error) => target.unseen(target.shard, &error),
        }
    }
}

/// Which of these entries are wrong, and how.
async fn compare(target: &Target<'_>, pairs: &[Pair]) -> Result<Vec<(Pair, String)>> {
    let cutoff = target.cutoff();
    // The inboxes first: what changes between the two reads has changed after the cutoff.
    let work = |connection, pairs| async move { audit::entries_of(&connection, pairs).await };
    let entries = target.ask_all_owners(pairs.to_vec(), |pair: &Pair| slot_of(pair.0), work).await?;
    let entries: HashMap<Pair, Entry> =
        entries.into_iter().map(|entry| ((entry.user_id, entry.conversation_id), entry)).collect();
    let work = |connection, pairs| async move { audit::fetch(&connection, pairs, MAX_INBOXES).await };
    let members = target.ask_all_owners(pairs.to_vec(), |pair: &Pair| slot_of(pair.1), work).await?;
    let members: HashMap<Pair, Member> =
        members.into_iter().map(|member| ((member.user_id, member.conversation_id), member)).collect();
    let wrong = pairs.iter().filter_map(|pair| {
        let (entry, member) = (entries.get(pair), members.get(pair));
        let is_old = entry.is_some_and(|entry| entry.last_message_at < cutoff);
        let what = match (entry, member) {
            (Some(_), None) if is_old => "is there, and its user takes no part".to_owned(),
            (entry, Some(member)) => {
                let (stored, seq) = (entry.map(|entry| entry.last_seq), member.seq);
                let late = member.was_told && stored < Some(seq) && member.sent_at < cutoff;
                let ahead = is_old && stored > Some(seq);
                if !late && !ahead {
                    return None;
                }
                let stored = stored.map_or_else(|| "absent".to_owned(), |stored| format!("at {stored}"));
                format!("is {stored}, and the last message is {seq}")
            }
            _ => return None,
        };
        Some((*pair, what))
    });
    Ok(wrong.collect())
}

/// Brings an entry to its conversation: back, under the entry's lock, behind which the conversation is
/// read; forward as the message's event does.
async fn mend(target: &Target<'_>, pair: Pair) -> Result<bool> {
    let alone = target.mending().await;
    let store = target.store();
    let member = store
        .tx(slot_of(pair.0), |tx| async move {
            let entry = audit::hold(&tx, pair).await?;
            let read = async |connection| audit::fetch(&connection, vec![pair], MAX_INBOXES).await;
            let member = store.read(slot_of(pair.1), read).await?.pop();
            match (&entry, &member) {
                (Some(_), None) => audit::remove(&tx, pair).await?,
                (Some(entry), Some(member)) if entry.last_seq > member.seq => {
                    audit::take_back(&tx, pair, member.seq, member.sent_at).await?;
                }
                _ => {}
            }
            Ok(member)
        })
        .await?;
    drop(alone);
    if let Some(Member { was_told: true, change, .. }) = member {
        target.domain.follow_conversation(ConversationId::from_row(pair.1), change, &[]).await?;
    }
    Ok(true)
}
