//! All integration tests: one binary, one set of real servers, databases of its own for each test.

mod harness;

mod follow;
mod post;
mod shard;
mod story;
