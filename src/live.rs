//! Live updates. Every stream is read from rows; NATS only says that there is something to read, so that
//! a lost or repeated signal loses and repeats nothing.
//!
//! A topic's rows are numbered without holes. The first who listens to a topic in this process starts its
//! pump, which reads new rows once for all listeners into a short ring. A listener has a position and no
//! queue: one that falls behind the ring reads from the rows, and nothing overflows.

pub mod cursor;
mod hub;
mod pump;
mod registry;
mod ring;
mod signal;
mod source;
mod stream;
mod subject;
mod topic;
mod topics;

pub use crate::model::stream::Position;
pub use hub::Hub;
pub use signal::{Signal, SignalEvent, signals};
pub use stream::{Item, Ready, stream};
pub use topic::{Change, Changes, Delivery, Found, Topic};
pub use topics::TopicHandle;
