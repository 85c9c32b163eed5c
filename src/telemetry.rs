//! What operators see: log lines and metrics.

mod log;
mod metrics;
mod request_id;

pub use log::init;
pub use metrics::{Gauged, Metrics, metrics};
pub use request_id::{RequestId, current_request, within_request};
