//! The schema: one file a noun, types and thin resolvers; and how a document is admitted and executed.
//! No rule and no query is written here.

pub mod account;
pub mod code;
pub mod comment;
pub mod context;
pub mod conversation;
pub mod document;
pub mod engine;
pub mod error;
mod escape;
pub mod feed;
pub mod follow;
pub mod group;
pub mod hashtag;
pub mod limits;
pub mod loader;
pub mod media;
pub mod message;
pub mod message_change;
pub mod node;
pub mod notification;
pub mod nullable;
pub mod page;
pub mod post;
pub mod request;
pub mod scalar;
pub mod session;
pub mod settings;
pub mod staff;
pub mod subscription;
pub mod types;
pub mod typing;
pub mod user;
pub mod variables;
pub mod viewer;

#[cfg(test)]
mod fixture;

use async_graphql::{MergedObject, Schema};

pub use subscription::SubscriptionRoot as Subscription;

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
    settings::SettingsMutation,
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
    Schema::build(Query::default(), Mutation::default(), Subscription::default()).finish().sdl()
}
