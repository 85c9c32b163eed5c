//! The lists of hashtags against the tags of posts.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::target::{BATCH, PAGE, Target};
use crate::domain::post::hashtag::Tag;
use crate::model::clock::to_millis;
use crate::model::id::{PostId, Slot, millis_of, slot_of};
use crate::model::{Error, Result};
use crate::store::audit::hashtag::{self as audit, Entry, Tagged};
use crate::store::hashtag::{self, Known};

/// How many entries are asked for at once.
const ENTRIES: usize = 10_000;
/// How many entries of posts that are gone are held before they are looked at again.
const GONE: usize = 10_000;

pub(super) async fn look(target: &mut Target<'_>) -> Result<()> {
    from_posts(target).await?;
    from_lists(target).await
}

/// Looks for tags of this shard's posts whose lists don't have the post.
async fn from_posts(target: &mut Target<'_>) -> Result<()> {
    let mut after = Uuid::nil();
    loop {
        let page = async |connection| audit::tagged(&connection, after, PAGE).await;
        let page = target.ask(page).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        target.looked(page.len());
        let cutoff = target.cutoff();
        let settled = page.into_iter().filter(|post| post.changed_at < cutoff);
        for chunk in settled.flat_map(entries_of).collect::<Vec<_>>().chunks(ENTRIES) {
            let missing = |connection, entries| async move { audit::missing(&connection, entries).await };
            let suspects = target.ask_owners(chunk.to_vec(), slot, missing).await;
            look_again(target, suspects, false).await;
        }
    }
}

fn entries_of(post: Tagged) -> impl Iterator<Item = Entry> {
    post.hashtags.into_iter().map(move |name| {
        let tag = Tag::from_row(name);
        Entry { slot: tag.slot().column(), name: tag.name().to_owned(), post_id: post.id }
    })
}

/// Looks for entries in this shard's lists whose posts don't have the tag.
async fn from_lists(target: &mut Target<'_>) -> Result<()> {
    let mut after = Entry { slot: -1, name: String::new(), post_id: Uuid::nil() };
    let mut gone = Vec::new();
    loop {
        let page = async |connection| audit::entries(&connection, &after, PAGE).await;
        let page = target.ask(page).await?;
        let Some(last) = page.last() else { break };
        after = last.clone();
        target.looked(page.len());
        let untrue = |connection, entries| async move { audit::untrue(&connection, entries).await };
        let suspects = target.ask_owners(page, |entry: &Entry| slot_of(entry.post_id), untrue).await;
        gone.extend(look_again(target, suspects, false).await);
        if gone.len() >= GONE {
            wait_for(target, std::mem::take(&mut gone)).await;
        }
    }
    wait_for(target, gone).await;
    Ok(())
}

/// Posts that are purged tell no time, so the time is waited for.
async fn wait_for(target: &mut Target<'_>, gone: Vec<Entry>) {
    if !gone.is_empty() {
        tokio::time::sleep(target.options.grace.unsigned_abs()).await;
        look_again(target, gone, true).await;
    }
}

fn slot(entry: &Entry) -> Slot {
    u16::try_from(entry.slot).ok().and_then(Slot::new).expect("a stored slot is in range")
}

/// Reports what is wrong for longer than the grace time. Those whose posts are gone, which tell no time,
/// come back unless they were `waited` for.
async fn look_again(target: &mut Target<'_>, suspects: Vec<Entry>, waited: bool) -> Vec<Entry> {
    let mut gone = Vec::new();
    for entries in suspects.chunks(BATCH) {
        match compare(target, entries).await {
            Ok(found) => {
                for (entry, what) in found {
                    let Some(what) = what.or_else(|| waited.then_some("its post is gone")) else {
                        gone.push(entry);
                        continue;
                    };
                    let mended = target.mends(mend(target, &entry)).await;
                    target.fault(format!("{} {}", entry.name, entry.post_id), what.to_owned(), mended);
                }
            }
            Err(error) => target.unseen(target.shard, &error),
        }
    }
    gone
}

/// Which of these entries are wrong, and how; nothing is said of those whose post is gone.
async fn compare(target: &Target<'_>, entries: &[Entry]) -> Result<Vec<(Entry, Option<&'static str>)>> {
    let cutoff = target.cutoff();
    // The lists first: what changes between the two reads has changed after the cutoff.
    let work = |connection, entries| async move { audit::active(&connection, entries).await };
    let listed: HashSet<Entry> =
        target.ask_all_owners(entries.to_vec(), slot, work).await?.into_iter().collect();
    let ids = entries.iter().map(|entry| entry.post_id).collect::<HashSet<_>>().into_iter().collect();
    let work = |connection, ids| async move { audit::posts(&connection, ids).await };
    let posts = target.ask_all_owners(ids, |id: &Uuid| slot_of(*id), work).await?;
    let posts: HashMap<Uuid, Tagged> = posts.into_iter().map(|post| (post.id, post)).collect();
    let wrong = entries.iter().filter_map(|entry| {
        let (post, is_listed) = (posts.get(&entry.post_id), listed.contains(entry));
        let what = match (post, is_listed) {
            (None, true) => None,
            (Some(post), _) if post.changed_at >= cutoff || has_tag(post, entry) == is_listed => return None,
            (Some(_), true) => Some("its post does not have the tag"),
            (Some(_), false) => Some("is not in the list"),
            (None, false) => return None,
        };
        Some((entry.clone(), what))
    });
    Ok(wrong.collect())
}

fn has_tag(post: &Tagged, entry: &Entry) -> bool {
    post.deleted_at.is_none() && post.hashtags.contains(&entry.name)
}

/// Brings an entry to its post. As with the mirrors of edges, the post is read behind the entry's lock.
async fn mend(target: &Target<'_>, entry: &Entry) -> Result<bool> {
    let _alone = target.mending().await;
    let (store, post) = (target.store(), PostId::from_row(entry.post_id));
    store
        .tx(slot(entry), |tx| async move {
            let known = hashtag::hold(&tx, &entry.name, post).await?;
            let read = async |connection| audit::posts(&connection, vec![entry.post_id]).await;
            let found = store.read(post.slot(), read).await?.pop();
            let to = match found.filter(|post| post.deleted_at.is_none()) {
                Some(post) => Known {
                    active: has_tag(&post, entry),
                    version: post.edited_at.map_or_else(|| millis_of(post.id), to_millis),
                },
                // As the event of a deletion does.
                None => Known { active: false, version: i64::MAX },
            };
            if to.active != known.active {
                hashtag::write(&tx, &entry.name, post, known, to).await?;
            }
            Ok::<_, Error>(())
        })
        .await?;
    Ok(true)
}
