//! All integration tests: one binary, one set of real servers, databases of its own for each test.

mod harness;

mod feed;
mod follow;
mod live;
mod outage;
mod post;
mod shard;
mod story;
