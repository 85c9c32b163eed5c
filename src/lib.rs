//! Fowergram: a GraphQL backend for a photo-sharing social network, on sharded `PostgreSQL`.
//!
//! The modules, in the order in which a request flows; each uses only those below it.

pub mod config;
pub mod domain;
pub mod graphql;
pub mod store;
pub mod worker;
