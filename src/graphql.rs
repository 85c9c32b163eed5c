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
mod schema;
pub mod session;
pub mod settings;
pub mod staff;
pub mod subscription;
pub mod trace;
pub mod types;
pub mod typing;
pub mod user;
pub mod variables;
pub mod viewer;

#[cfg(test)]
mod fixture;

pub use schema::{Mutation, Query, sdl};
pub use subscription::SubscriptionRoot as Subscription;
