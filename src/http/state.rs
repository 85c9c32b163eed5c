//! What all handlers share.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

use super::cors::Cors;
use super::permit::{ConnectionLimits, ConnectionPermit};
use crate::app::App;
use crate::telemetry::{self, OperationMetrics};

/// How long the last words to sockets may take in a stopping process, within its grace period.
const FAREWELL: Duration = Duration::from_millis(1500);

/// What handlers share.
#[derive(Clone)]
pub struct Http(Arc<Shared>);

/// The parts of [`Http`].
pub struct Shared {
    pub app: App,
    pub cors: Cors,
    pub operations: OperationMetrics,
    /// Each running request holds one; requests never wait for one.
    pub requests: Semaphore,
    /// Each socket and each event stream holds one.
    pub connections: ConnectionLimits,
    /// Their tasks, for a stopping process to wait for.
    pub socket_tasks: TaskTracker,
    pub timeout: Duration,
    /// How long one event may take to be written to a socket or event stream.
    pub write_timeout: Duration,
    /// How long a stopping process goes on with what runs on sockets and event streams.
    pub finish_timeout: Duration,
    /// When that is over; set when it has begun.
    pub finish_by: OnceLock<Instant>,
}

impl Deref for Http {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Http {
    pub fn new(app: App, development: bool) -> Self {
        let config = &app.config().http;
        let grace = Duration::from_millis(config.shutdown_grace_ms);
        Self(Arc::new(Shared {
            cors: Cors::new(config, development),
            operations: OperationMetrics::new(config.counted_operations()),
            requests: Semaphore::new(config.max_concurrent_requests.min(Semaphore::MAX_PERMITS)),
            connections: ConnectionLimits::new(config),
            socket_tasks: TaskTracker::new(),
            timeout: Duration::from_millis(config.request_timeout_ms),
            write_timeout: Duration::from_millis(config.socket_write_timeout_ms),
            finish_timeout: grace.saturating_sub(FAREWELL).max(grace / 2),
            finish_by: OnceLock::new(),
            app,
        }))
    }

    /// A seat for one more socket or stream; none where there are too many, or the process stops.
    pub fn connection_permit(&self) -> Option<ConnectionPermit> {
        let stopping = self.app.stopping().is_cancelled();
        let permit = if stopping { None } else { self.connections.acquire(&self.socket_tasks) };
        if permit.is_none() {
            telemetry::metrics().overload();
        }
        permit
    }

    /// Resolves when a stopping process can wait no longer for what runs on sockets and event streams. To
    /// be asked only while it is stopping.
    pub async fn time_is_up(&self) {
        sleep_until(*self.finish_by.get_or_init(|| Instant::now() + self.finish_timeout)).await;
    }
}
