//! What `fowergram doctor` asks the shards: pages of rows, and sets of rows against each other.
//!
//! Every statement reads a bounded part, by key, so that neither its time nor its answer grows with the
//! tables.

pub mod claim;
pub mod counter;
pub mod edge;
pub mod hashtag;
pub mod inbox;
pub mod media;
pub mod notification;
pub mod outbox;
pub mod placement;
