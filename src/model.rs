//! The vocabulary of all layers: ids, errors, time, events, pages and positions, and the small enums whose numbers
//! are stored. Plain values: no rules, no queries, nothing that waits.

pub mod account;
pub mod claim;
pub mod clock;
pub mod contact;
pub mod conversation;
pub mod error;
pub mod event;
pub mod feed;
pub mod follow;
pub mod id;
pub mod idempotency;
pub mod media;
pub mod notification;
pub mod page;
pub mod server_fault;
pub mod stream;
pub mod trace;
pub mod typing;
pub mod wal;

pub use clock::Clock;
pub use error::{Code, Error, Result};
pub use server_fault::ServerFault;
