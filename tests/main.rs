//! All integration tests: one binary, one set of real servers, databases of its own for each test.

mod harness;

mod architecture;
mod config;
mod feed;
mod follow;
mod limits;
mod live;
mod media;
mod outage;
mod post;
mod schema;
mod shard;
mod startup;
mod story;
