//! The schema: one file a noun, types and thin resolvers. No rule and no query is written here.

pub mod code;
pub mod context;
pub mod conversation;
pub mod loader;
pub mod notification;
pub mod page;
pub mod post;
pub mod scalar;
pub mod subscription;
pub mod user;
