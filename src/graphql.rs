//! The GraphQL API: types and thin resolvers over the domain.

pub mod context;
pub mod document;
pub mod engine;
pub mod error;
pub mod limits;
pub mod request;
pub mod types;
pub mod variables;

#[cfg(test)]
mod fixture;
mod placeholder;
pub use placeholder::{Mutation, Query, Subscription};
