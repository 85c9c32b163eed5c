//! Fowergram: a GraphQL backend for a photo-sharing social network, on sharded `PostgreSQL`.
//!
//! The modules, in the order in which a request flows; each uses only those below it.

pub mod app;
pub mod blob;
pub mod bus;
pub mod cache;
pub mod cli;
pub mod config;
pub mod dev;
pub mod doctor;
pub mod domain;
pub mod graphql;
pub mod http;
pub mod live;
pub mod progress;
pub mod seed;
pub mod store;
pub mod telemetry;
pub mod worker;
