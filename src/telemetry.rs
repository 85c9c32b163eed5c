//! What operators see: log lines, metrics and traces.

pub mod catalog;
mod log;
mod metrics;
mod operation;
mod request_id;
mod trace;

pub use log::{init, init_traced};
pub use metrics::{Gauged, Metrics, metrics};
pub use operation::{OperationMetrics, refused};
pub use request_id::{RequestId, current_request, within_request};
pub use trace::Traces;
