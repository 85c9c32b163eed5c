//! What operators see: log lines and metrics.

pub mod catalog;
mod log;
mod metrics;
mod operation;
mod request_id;

pub use log::init;
pub use metrics::{Gauged, Metrics, metrics};
pub use operation::{OperationMetrics, refused};
pub use request_id::{RequestId, current_request, within_request};
