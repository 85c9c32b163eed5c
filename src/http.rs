//! HTTP: the GraphQL endpoint, its sockets and event streams, health, metrics and the Playground.

mod auth;
mod body;
mod cors;
mod cut;
mod discard;
mod graphql;
mod health;
mod negotiate;
mod operations;
mod permit;
mod playground;
mod reply;
mod router;
mod server;
mod socket;
mod state;
mod stream;
mod upload;

pub use router::router;
pub use server::{serve, serve_health};
