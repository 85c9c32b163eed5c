//! `PostgreSQL` servers, each a cluster of its own: one can be killed without touching another.

mod cluster;
mod server;

pub use cluster::Clusters;
pub use server::{Postgres, USER};
