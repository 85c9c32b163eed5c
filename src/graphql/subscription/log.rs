//! What a user's log tells, as events.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Event, Head, follow, message, notification};
use crate::domain::Domain;
use crate::domain::account::Viewer;
use crate::domain::log::Logged;
use crate::live::{Change, Delivery, Ready};
use crate::model::Result;
use crate::model::stream::LogTopic;

/// Makes pages of the viewer's log ready: what of these topics the viewer may see, in its newest state.
pub fn reader(
    domain: Domain,
    viewer: Viewer,
    topics: Vec<LogTopic>,
) -> impl Fn(Vec<Delivery>) -> BoxFuture<'static, Result<Vec<Ready<Logged>>>> {
    move |changes| {
        let (domain, viewer, topics) = (domain.clone(), viewer.clone(), topics.clone());
        async move {
            let rows: Vec<_> = changes
                .into_iter()
                .filter_map(|delivery| match delivery.change {
                    Change::Logged(row) => Some((delivery.position, row)),
                    _ => None,
                })
                .collect();
            let (positions, rows): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
            let told = domain.read_log(&viewer, &rows, &topics).await?;
            let ready = positions.into_iter().zip(told);
            Ok(ready.filter_map(|(position, told)| Some(Ready { position, what: told?.ok() })).collect())
        }
        .boxed()
    }
}

pub fn event(head: Head, logged: Logged) -> Event {
    match logged {
        Logged::Notification { shown, at } => notification::event(head, shown, at),
        Logged::Message { row, since } => message::event(head, row, since),
        Logged::Read(marker) => message::read_event(head, &marker),
        Logged::Follow { user, follows, at } => follow::event(head, user, follows, at),
    }
}
