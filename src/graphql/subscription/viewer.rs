//! Everything for the signed-in user on one stream.

use std::time::Duration;

use async_graphql::{Context, Enum, Result, Subscription};
use futures_util::stream::{BoxStream, iter, once, select_all, unfold};
use futures_util::{Stream, StreamExt};

use super::event::{Event, FeedEvent, SessionEvent};
use super::events::event;
use super::{feed, log};
use crate::domain::Domain;
use crate::domain::log::Logged;
use crate::domain::viewer::Viewer;
use crate::graphql::context::ContextExt;
use crate::graphql::scalar::Cursor;
use crate::live::cursor::{self, Places};
use crate::live::{self, Hub, Item, Topic, TopicHandle};
use crate::model::Error;
use crate::model::feed::FeedChange;
use crate::model::id::UserId;
use crate::model::stream::LogTopic;

/// How long to wait before a feed that can't be read is asked for again.
const RETRY: Duration = Duration::from_secs(1);

/// The kinds of events that `viewerEvents` delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum EventTopic {
    Notification,
    Feed,
    /// Messages of all conversations in the viewer's list.
    Message,
    /// Read markers: the viewer's own from any device, and the other member's in a direct conversation.
    Read,
    Follow,
    /// The end of the session that opened the stream.
    Session,
}

impl EventTopic {
    const ALL: [Self; 6] =
        [Self::Notification, Self::Feed, Self::Message, Self::Read, Self::Follow, Self::Session];

    /// The topic of the log that covers it, if any.
    const fn logged(self) -> Option<LogTopic> {
        match self {
            Self::Notification => Some(LogTopic::Notification),
            Self::Message => Some(LogTopic::Message),
            Self::Read => Some(LogTopic::Read),
            Self::Follow => Some(LogTopic::Follow),
            Self::Feed | Self::Session => None,
        }
    }
}

/// An event of one part of the stream.
enum Part {
    Log(Item<Logged>),
    Feed(Item<FeedChange>),
    Ended(Error),
}

type Parts = BoxStream<'static, Result<Part, Error>>;

#[derive(Default)]
pub struct ViewerSubscription;

#[Subscription]
impl ViewerSubscription {
    /// All events for the viewer in one stream, or those of the given topics. `after` is the cursor of the last event
    /// that the client has processed.
    async fn viewer_events(
        &self,
        ctx: &Context<'_>,
        topics: Option<Vec<EventTopic>>,
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Result<Event>> + use<>> {
        let viewer = ctx.require_viewer()?.clone();
        let user = viewer.user;
        let after = after.as_ref().and_then(Cursor::given);
        let after = after.map(|text| cursor::decode_places(user, text)).transpose()?;
        let topics = topics.unwrap_or_else(|| EventTopic::ALL.to_vec());
        let log = ctx.hub().attach(Topic::Receiver(user)).await?;
        let mut places = Places {
            log: after.map_or(log.attached(), |after| after.log),
            feed: after.map(|after| after.feed).unwrap_or_default(),
        };
        let mut parts = Vec::new();
        let logged: Vec<LogTopic> = topics.iter().filter_map(|topic| topic.logged()).collect();
        if !logged.is_empty() {
            parts.push(log_part(ctx.domain().clone(), viewer.clone(), log, logged, after));
        }
        if topics.contains(&EventTopic::Feed) {
            parts.push(feed_part(ctx.domain().clone(), ctx.hub().clone(), user, after));
        }
        if topics.contains(&EventTopic::Session) {
            parts.push(session_part(ctx.domain().clone(), viewer));
        }
        let clock = ctx.domain().clock.clone();
        let events = select_all(parts).map(move |part| {
            Ok(match part? {
                Part::Log(item) => {
                    places.log = item.position();
                    let cursor = |log| Cursor(cursor::encode_places(user, Places { log, ..places }));
                    event(item, cursor, &clock, |head, logged, _| log::event(head, logged))
                }
                Part::Feed(item) => {
                    places.feed = item.position();
                    let cursor = |feed| Cursor(cursor::encode_places(user, Places { feed, ..places }));
                    event(item, cursor, &clock, |head, change, _| {
                        Event::Feed(FeedEvent::new(head, &change, clock.now()))
                    })
                }
                Part::Ended(error) => {
                    let cursor = Cursor(cursor::encode_places(user, places));
                    let (at, reason) = (clock.now().into(), error.code().into());
                    Event::Session(SessionEvent { cursor, replayed: false, at, reason })
                }
            })
        });
        // With one part gone, the client is to come back for all.
        Ok(unfold((events, false), |(mut events, is_over)| async move {
            let event: Result<Event> = if is_over { return None } else { events.next().await? };
            let is_over = event.is_err();
            Some((event, (events, is_over)))
        }))
    }
}

fn log_part(
    domain: Domain,
    viewer: Viewer,
    handle: TopicHandle,
    topics: Vec<LogTopic>,
    after: Option<Places>,
) -> Parts {
    let reader = log::reader(domain, viewer, topics);
    live::stream(handle, after.map(|after| after.log), reader).map(|item| Ok(Part::Log(item?))).boxed()
}

/// A feed that can't be read because Redis is down does not delay the rest of the stream. A subscriber that had
/// to wait for it may have missed something, and gets a gap event.
fn feed_part(domain: Domain, hub: Hub, user: UserId, after: Option<Places>) -> Parts {
    let begin = async move {
        let mut gap = None;
        let handle = loop {
            // A feed that is not cached gets no changes, so it is built for its listener.
            let built = domain.build_feed(user).await;
            match built.and(hub.attach(Topic::Feed(user)).await) {
                Ok(handle) => break handle,
                Err(_) => tokio::time::sleep(RETRY).await,
            }
            gap = Some(());
        };
        let attached = handle.attached();
        let gap = gap.map(|()| Ok(Part::Feed(Item::Gap { resume: attached })));
        let known = after.map(|after| after.feed).filter(|feed| gap.is_none() && feed.generation != 0);
        let prepare = |changes| async { Ok(feed::ready(changes)) };
        let changes = live::stream(handle, known, prepare).map(|item| Ok(Part::Feed(item?)));
        iter(gap).chain(changes)
    };
    once(begin).flatten().boxed()
}

fn session_part(domain: Domain, viewer: Viewer) -> Parts {
    once(async move { Ok(Part::Ended(domain.revoked(&viewer).await)) }).boxed()
}
