//! All integration tests: one binary, one set of real servers, databases of its own for each test.

mod harness;

mod account;
mod input;
mod session;
mod sign_up;
mod story;
mod stranger;
