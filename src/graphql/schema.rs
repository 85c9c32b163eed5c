//! The schema's root types, put together from the nouns' own.

use async_graphql::{MergedObject, Schema};

use super::subscription::SubscriptionRoot;
use super::{
    account, comment, conversation, follow, group, hashtag, media, message, message_change, node,
    notification, post, staff, typing,
};

#[derive(Default, MergedObject)]
pub struct Query(
    account::AccountQuery,
    node::NodeQuery,
    post::PostQuery,
    comment::CommentQuery,
    hashtag::HashtagQuery,
    conversation::ConversationQuery,
    staff::StaffQuery,
);

#[derive(Default, MergedObject)]
pub struct Mutation(
    account::AccountMutation,
    follow::FollowMutation,
    media::MediaMutation,
    post::PostMutation,
    comment::CommentMutation,
    group::GroupMutation,
    message::MessageMutation,
    message_change::MessageChangeMutation,
    notification::NotificationMutation,
    typing::TypingMutation,
);

/// The schema in the schema definition language, as `schema.graphql` holds it.
pub fn sdl() -> String {
    Schema::build(Query::default(), Mutation::default(), SubscriptionRoot::default()).finish().sdl()
}
