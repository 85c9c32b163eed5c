//! Notifications against what they are about.

use uuid::Uuid;

use super::target::{BATCH, PAGE, Target};
use crate::model::Result;
use crate::model::id::{UserId, slot_of};
use crate::model::notification::Kind;
use crate::store::audit::notification::{self as audit, Shown};
use crate::store::notification;

/// Looks for notifications of this shard's users that are shown though their target is gone.
pub(super) async fn look(target: &mut Target<'_>) -> Result<()> {
    let mut after = Uuid::nil();
    loop {
        let page = async |connection| audit::page(&connection, after, PAGE).await;
        let mut page = target.ask(page).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        target.looked(page.len());
        let cutoff = target.cutoff();
        page.retain(|shown| shown.updated_at < cutoff && Kind::from_column(shown.kind).is_some());
        for shown in page.chunks(BATCH) {
            let work = |connection, shown| async move { audit::without_target(&connection, shown).await };
            let gone =
                target.ask_owners(shown.to_vec(), |shown: &Shown| slot_of(shown.target_id), work).await;
            for shown in shown.iter().filter(|shown| gone.contains(&shown.id)) {
                let mended = target.mends(mend(target, shown)).await;
                target.fault(shown.id.to_string(), "is shown, and its target is gone".to_owned(), mended);
            }
        }
    }
}

async fn mend(target: &Target<'_>, shown: &Shown) -> Result<bool> {
    let Some(kind) = Kind::from_column(shown.kind) else { return Ok(false) };
    let gone = [(UserId::from_row(shown.user_id), kind, shown.target_id)];
    let withdraw = |tx| async move { notification::withdraw(&tx, &gone).await };
    target.store().tx(slot_of(shown.user_id), withdraw).await?;
    Ok(true)
}
