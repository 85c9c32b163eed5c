//! The entries of a user's log, as events.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::event::{Event, FollowEvent, Head, MessageEvent, NotificationEvent, ReadEvent};
use crate::domain::Domain;
use crate::domain::log::Logged;
use crate::domain::viewer::Viewer;
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

/// The event of a log entry.
pub fn event(head: Head, logged: Logged) -> Event {
    match logged {
        Logged::Notification { shown, at } => Event::Notification(NotificationEvent::new(head, shown, at)),
        Logged::Message { row, since } => Event::Message(MessageEvent::new(head, row, since)),
        Logged::Read(marker) => Event::Read(ReadEvent::new(head, &marker)),
        Logged::Follow { user, state, at } => Event::Follow(FollowEvent::new(head, user, state, at)),
    }
}
