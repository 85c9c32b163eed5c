//! Counters against the rows that they count.

use uuid::Uuid;

use super::target::{PAGE, Target};
use crate::model::Result;
use crate::model::id::{Slot, slot_of};
use crate::store::audit::counter::{self, Counter};
use crate::store::audit::hashtag;

/// How many tags are counted with one statement.
const TAGS: i64 = 1_000;

pub(super) async fn look(target: &mut Target<'_>, counter: &Counter) -> Result<()> {
    let mut after = Uuid::nil();
    loop {
        let page = async |connection| counter::page(&connection, counter, after, PAGE).await;
        let page = target.ask(page).await?;
        let Some(last) = page.last else { return Ok(()) };
        target.looked(usize::try_from(page.looked).unwrap_or(0));
        let drifts = async |connection| counter::drifts(&connection, counter, after, last).await;
        for drift in target.ask(drifts).await? {
            let fix = target.options.fix;
            // Where the row's owner has it: a copy elsewhere is the matter of another check.
            let again = |tx| async move { counter::look_again(&tx, counter, drift.id, fix).await };
            if let Some((drift, mended)) = target.store().tx(slot_of(drift.id), again).await? {
                let what = format!("is {}, and {} are there", drift.stored, drift.counted);
                target.fault(drift.id.to_string(), what, mended);
            }
        }
        after = last;
    }
}

pub(super) async fn of_tags(target: &mut Target<'_>) -> Result<()> {
    let mut after = (-1, String::new());
    loop {
        let page = async |connection| hashtag::counts(&connection, (after.0, &after.1), TAGS).await;
        let page = target.ask(page).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.slot, last.name.clone());
        target.looked(page.len());
        for tag in page.iter().filter(|tag| tag.stored != tag.counted) {
            let Some(slot) = u16::try_from(tag.slot).ok().and_then(Slot::new) else { continue };
            let (name, fix) = (tag.name.as_str(), target.options.fix);
            let again = |tx| async move { hashtag::look_again(&tx, name, fix).await };
            if let Some(found) = target.store().tx(slot, again).await? {
                let what = format!("is {}, and {} are there", found.stored, found.counted);
                target.fault(found.name, what, fix);
            }
        }
    }
}
