//! Fowergram: a GraphQL backend for a photo-sharing social network, on sharded `PostgreSQL`.
//!
//! How they depend on each other is drawn in `docs/ARCHITECTURE.md` and held by `tests/architecture.rs`.

#![warn(clippy::print_stdout)]

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
pub mod model;
pub mod progress;
pub mod seed;
pub mod store;
pub mod telemetry;
pub mod worker;
