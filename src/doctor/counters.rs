//! Counters against the rows that they count.

use uuid::Uuid;

use super::PAGE;
use super::ward::Ward;
use crate::model::Result;
use crate::model::id::{Slot, slot_of};
use crate::store::audit::counter::{self, Counter};
use crate::store::audit::hashtag;

/// How many tags are counted with one statement.
const TAGS: i64 = 1_000;

pub(super) async fn look(ward: &mut Ward<'_>, counter: &Counter) -> Result<()> {
    let mut after = Uuid::nil();
    loop {
        let page = async |connection| counter::page(&connection, counter, after, PAGE).await;
        let page = ward.ask(page).await?;
        let Some(last) = page.last else { return Ok(()) };
        ward.looked(usize::try_from(page.looked).unwrap_or(0));
        let drifts = async |connection| counter::drifts(&connection, counter, after, last).await;
        for drift in ward.ask(drifts).await? {
            let fix = ward.options.fix;
            // Where the row's owner has it: a copy elsewhere is the matter of another check.
            let again = |tx| async move { counter::look_again(&tx, counter, drift.id, fix).await };
            if let Some((drift, mended)) = ward.store().tx(slot_of(drift.id), again).await? {
                let what = format!("is {}, and {} are there", drift.stored, drift.counted);
                ward.fault(drift.id.to_string(), what, mended);
            }
        }
        after = last;
    }
}

pub(super) async fn of_tags(ward: &mut Ward<'_>) -> Result<()> {
    let mut after = (-1, String::new());
    loop {
        let page = async |connection| hashtag::counts(&connection, (after.0, &after.1), TAGS).await;
        let page = ward.ask(page).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = (last.slot, last.name.clone());
        ward.looked(page.len());
        for tag in page.iter().filter(|tag| tag.stored != tag.counted) {
            let Some(slot) = u16::try_from(tag.slot).ok().and_then(Slot::new) else { continue };
            let (name, fix) = (tag.name.as_str(), ward.options.fix);
            let again = |tx| async move { hashtag::look_again(&tx, name, fix).await };
            if let Some(found) = ward.store().tx(slot, again).await? {
                let what = format!("is {}, and {} are there", found.stored, found.counted);
                ward.fault(found.name, what, fix);
            }
        }
    }
}
