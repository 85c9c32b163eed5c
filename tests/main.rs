//! All integration tests: one binary, one set of real servers, databases of its own for each test.

mod harness;

mod account;
mod architecture;
mod backfill;
mod config;
mod conversation_list;
mod doctor;
mod fault;
mod feed;
mod follow;
mod group;
mod input;
mod limits;
mod live;
mod media;
mod message;
mod migrate;
mod names;
mod outage;
mod pgbouncer;
mod post;
mod post_stream;
mod replica;
mod schema;
mod session;
mod shard;
mod sign_up;
mod socket;
mod sse;
mod startup;
mod story;
mod stranger;
mod torture;
mod viewer_events;
mod walk;
