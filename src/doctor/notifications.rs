//! Notifications against what they are about.

use uuid::Uuid;

use super::ward::Ward;
use super::{BATCH, PAGE};
use crate::model::Result;
use crate::model::id::{UserId, slot_of};
use crate::model::notification::Kind;
use crate::store::audit::notification::{self as audit, Shown};
use crate::store::notification;

/// Looks for notifications of this shard's users that are shown though their target is gone.
pub(super) async fn look(ward: &mut Ward<'_>) -> Result<()> {
    let mut after = Uuid::nil();
    loop {
        let page = async |connection| audit::page(&connection, after, PAGE).await;
        let mut page = ward.ask(page).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.id;
        ward.looked(page.len());
        let cutoff = ward.cutoff();
        page.retain(|shown| shown.updated_at < cutoff && Kind::from_column(shown.kind).is_some());
        for shown in page.chunks(BATCH) {
            let work = |connection, shown| async move { audit::without_target(&connection, shown).await };
            let gone = ward.ask_owners(shown.to_vec(), |shown: &Shown| slot_of(shown.target_id), work).await;
            for shown in shown.iter().filter(|shown| gone.contains(&shown.id)) {
                let mended = ward.mends(mend(ward, shown)).await;
                ward.fault(shown.id.to_string(), "is shown, and its target is gone".to_owned(), mended);
            }
        }
    }
}

async fn mend(ward: &Ward<'_>, shown: &Shown) -> Result<bool> {
    let Some(kind) = Kind::from_column(shown.kind) else { return Ok(false) };
    let gone = [(UserId::from_row(shown.user_id), kind, shown.target_id)];
    let withdraw = |tx| async move { notification::withdraw(&tx, &gone).await };
    ward.store().tx(slot_of(shown.user_id), withdraw).await?;
    Ok(true)
}
