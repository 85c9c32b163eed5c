//! Live updates. Every stream is read from numbered rows; NATS only signals that there is something to read,
//! so lost or repeated signals do no harm.
//!
//! A topic's rows are numbered without gaps. The first listener of a topic in a process starts its pump,
//! which reads new rows once for all listeners into a short ring buffer. A listener has a position and no
//! queue: one that falls behind the ring reads from the rows, so nothing overflows.

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
