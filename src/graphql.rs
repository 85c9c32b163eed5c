//! The schema: one file a noun, types and thin resolvers. No rule and no query is written here.

pub mod account;
pub mod context;
pub mod loader;
pub mod nullable;
pub mod scalar;
pub mod session;
pub mod user;
pub mod viewer;
