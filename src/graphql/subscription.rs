//! Live streams. Each event has a cursor; whoever subscribes again with the last one gets what was missed
//! and goes on live.

mod event;
mod events;
mod feed;
mod follow;
mod log;
mod message;
mod notification;
mod post;
mod typing;
mod viewer;

use async_graphql::MergedSubscription;

use feed::FeedSubscription;
use follow::FollowSubscription;
use message::MessageSubscription;
use notification::NotificationSubscription;
use post::PostSubscription;
use typing::TypingSubscription;
use viewer::ViewerSubscription;

/// All subscriptions.
#[derive(Default, MergedSubscription)]
#[graphql(name = "Subscription")]
pub struct SubscriptionRoot(
    ViewerSubscription,
    MessageSubscription,
    NotificationSubscription,
    FeedSubscription,
    FollowSubscription,
    PostSubscription,
    TypingSubscription,
);
