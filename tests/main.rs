//! All integration tests: one binary, one set of real servers, databases of its own for each test.

mod harness;

mod architecture;
mod config;
mod limits;
mod media;
mod schema;
mod startup;
mod story;
