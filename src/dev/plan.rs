//! What to start, and where.

use std::path::PathBuf;

/// What to start, and where.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Holds data, logs and secrets; made if it is not there.
    pub dir: PathBuf,
    /// How many `PostgreSQL` servers: databases of a single one share its faults.
    pub clusters: u8,
    /// A streaming replica of the first.
    pub replica: bool,
    /// False: a power cut may lose everything, and tests are faster.
    pub durable: bool,
    /// The `PostgreSQL` servers, the replica, Redis, NATS and the storage get this port and the next
    /// ones, in this order; `None`: free ones.
    pub first_port: Option<u16>,
}
