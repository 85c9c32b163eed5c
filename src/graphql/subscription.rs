//! Live streams. Each event has a cursor; whoever subscribes again with the last one gets what was missed
//! and goes on live.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Enum, ID, Interface, Result, SimpleObject, Subscription};
use futures_util::{Stream, StreamExt};
use time::OffsetDateTime;

use super::code::ErrorCode;
use super::context::ContextExt;
use super::conversation::Message;
use super::notification::{self, Notification};
use super::nullable::{Nullable, nullable};
use super::post::{self, Post};
use super::scalar::{Cursor, DateTime};
use crate::domain::account::Viewer;
use crate::domain::id::{ConversationId, NotificationId, PostId};
use crate::domain::{Clock, Domain, Error};
use crate::live::{self, Change, Item, Topic, cursor};
use crate::store::message;
use crate::store::stream::LogRow;

/// Something that happened.
#[derive(Interface)]
#[graphql(
    field(name = "cursor", ty = "&Cursor", desc = "Subscribe with it to go on behind this event."),
    field(name = "replayed", ty = "&bool", desc = "Whether it happened before the subscription began."),
    field(name = "at", ty = "&DateTime")
)]
pub enum Event {
    Message(MessageEvent),
    Notification(NotificationEvent),
    Feed(FeedEvent),
    Gap(StreamGap),
}

/// What became of a message. The message comes in its newest state, so that it may be taken over
/// whatever was known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum MessageChange {
    Sent,
    Edited,
    Deleted,
    Reacted,
}

impl MessageChange {
    /// What the change is to somebody who knew all up to the counter `since`.
    fn of(row: &message::Model, since: i64) -> Self {
        if row.sent_change > since {
            Self::Sent
        } else if row.deleted_at.is_some() {
            Self::Deleted
        } else if row.edited_change > since {
            Self::Edited
        } else {
            Self::Reacted
        }
    }
}

#[derive(SimpleObject)]
pub struct MessageEvent {
    cursor: Cursor,
    replayed: bool,
    at: DateTime,
    message: Message,
    change: MessageChange,
}

#[derive(SimpleObject)]
#[graphql(complex)]
pub struct NotificationEvent {
    cursor: Cursor,
    replayed: bool,
    at: DateTime,
    #[graphql(skip)]
    id: NotificationId,
}

#[ComplexObject]
impl NotificationEvent {
    /// In its newest state.
    async fn notification(&self, ctx: &Context<'_>) -> Result<Notification> {
        Ok(notification::load(ctx, self.id).await?.ok_or(Error::NotFound("notification"))?)
    }

    /// Of all the viewer's notifications, now.
    async fn unread_count(&self, ctx: &Context<'_>) -> Result<i32> {
        Ok(ctx.domain().unread_notifications(ctx.require_viewer()?.user).await?)
    }
}

#[derive(SimpleObject)]
#[graphql(complex)]
pub struct FeedEvent {
    cursor: Cursor,
    replayed: bool,
    at: DateTime,
    #[graphql(skip)]
    came: Option<PostId>,
    /// The post that is gone from it.
    removed_id: Option<ID>,
}

#[ComplexObject]
impl FeedEvent {
    /// The post that came into the feed; null where it is gone again.
    async fn post(&self, ctx: &Context<'_>) -> Nullable<Post> {
        nullable(async {
            let Some(id) = self.came else { return Ok(None) };
            post::load(ctx, id).await
        })
        .await
    }
}

/// Some events after the cursor are gone for good (older than the kept history): read the state anew and
/// go on from resumeFrom.
#[derive(SimpleObject)]
pub struct StreamGap {
    cursor: Cursor,
    replayed: bool,
    at: DateTime,
    reason: ErrorCode,
    resume_from: Cursor,
}

#[derive(Default)]
pub struct SubscriptionRoot;

#[Subscription(name = "Subscription")]
impl SubscriptionRoot {
    /// The messages of a conversation: those after the cursor, then each new one.
    async fn message_added(
        &self,
        ctx: &Context<'_>,
        conversation_id: ID,
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Result<Event>> + use<>> {
        let viewer = ctx.require_viewer()?.clone();
        let id = ConversationId::parse("conversationId", &conversation_id)?;
        ctx.domain().require_conversation(Some(&viewer), id).await?;
        let domain = ctx.domain().clone();
        let allowed = move || may_read(domain.clone(), viewer.clone(), id);
        events(ctx, Topic::Conversation(id), after, allowed).await
    }

    /// The viewer's notifications, new ones and those that somebody was added to.
    async fn new_notification(
        &self,
        ctx: &Context<'_>,
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Result<Event>> + use<>> {
        let user = ctx.require_viewer()?.user;
        events(ctx, Topic::Receiver(user), after, || async { Ok(()) }).await
    }

    /// What comes into the viewer's feed, and what goes from it.
    async fn feed_updated(
        &self,
        ctx: &Context<'_>,
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Result<Event>> + use<>> {
        let user = ctx.require_viewer()?.user;
        // What is not kept can't change: the feed is built for whoever listens to it.
        ctx.domain().build_feed(user).await?;
        events(ctx, Topic::Feed(user), after, || async { Ok(()) }).await
    }
}

async fn may_read(domain: Domain, viewer: Viewer, id: ConversationId) -> Result<(), Error> {
    domain.require_conversation(Some(&viewer), id).await.map(|_| ())
}

/// Listens to a topic and makes events of what it tells.
async fn events<A, F>(
    ctx: &Context<'_>,
    topic: Topic,
    after: Option<Cursor>,
    allowed: A,
) -> Result<impl Stream<Item = Result<Event>> + use<A, F>>
where
    A: Fn() -> F,
    F: Future<Output = Result<(), Error>>,
{
    let after = after.map(|text| cursor::decode(topic, &text.0)).transpose()?;
    let handle = ctx.hub().attach(topic).await?;
    let clock = ctx.domain().clock.clone();
    Ok(live::stream(handle, after, allowed).map(move |item| Ok(event(topic, item?, &clock))))
}

fn event(topic: Topic, item: Item, clock: &Clock) -> Event {
    match item {
        Item::Gap { resume } => {
            let cursor = Cursor(cursor::encode(topic, resume));
            let (resume_from, reason) = (cursor.clone(), ErrorCode::StreamGap);
            Event::Gap(StreamGap { cursor, replayed: true, at: clock.now().into(), reason, resume_from })
        }
        Item::Change { delivery, since, replayed } => {
            let cursor = Cursor(cursor::encode(topic, delivery.position));
            match delivery.change {
                Change::Message(row) => message_event(cursor, replayed, row, since.n),
                Change::Logged(row) => notification_event(cursor, replayed, &row),
                Change::Feed { post, removed } => feed_event(cursor, replayed, clock.now(), post, removed),
            }
        }
    }
}

fn message_event(cursor: Cursor, replayed: bool, row: Arc<message::Model>, since: i64) -> Event {
    let change = MessageChange::of(&row, since);
    let at = match change {
        MessageChange::Sent => Some(row.created_at),
        MessageChange::Edited | MessageChange::Deleted | MessageChange::Reacted => row.changed_at,
    };
    let at = at.unwrap_or(row.created_at).into();
    Event::Message(MessageEvent { cursor, replayed, at, message: Message { row }, change })
}

fn notification_event(cursor: Cursor, replayed: bool, row: &LogRow) -> Event {
    let id = NotificationId::from_row(row.ref_id);
    Event::Notification(NotificationEvent { cursor, replayed, at: row.at.into(), id })
}

fn feed_event(cursor: Cursor, replayed: bool, at: OffsetDateTime, post: PostId, removed: bool) -> Event {
    let removed_id = removed.then(|| ID::from(post.uuid()));
    let came = (!removed).then_some(post);
    Event::Feed(FeedEvent { cursor, replayed, at: at.into(), came, removed_id })
}
