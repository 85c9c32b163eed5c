//! The schema: one file a noun, types and thin resolvers. No rule and no query is written here.

pub mod context;
pub mod loader;
pub mod page;
pub mod scalar;
