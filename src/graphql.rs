//! The schema: one file a noun, types and thin resolvers. No rule and no query is written here.

pub mod comment;
pub mod context;
pub mod feed;
pub mod follow;
pub mod loader;
pub mod media;
pub mod node;
pub mod page;
pub mod post;
pub mod scalar;
