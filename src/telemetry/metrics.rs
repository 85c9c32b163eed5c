//! The process's metrics, and what the HTTP layer counts: registered once, so that a request only adds to handles that
//! it holds already.

use std::sync::LazyLock;
use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use tokio::runtime::Handle;

use super::catalog;
use crate::model::Code;

const HTTP_REQUESTS: &str = "fowergram_http_requests_total";
const HTTP_DURATION: &str = "fowergram_http_request_duration_seconds";

/// The upper bounds of all histograms, in seconds.
const SECONDS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Histograms keep each value until they are told to sum up.
const UPKEEP: Duration = Duration::from_secs(5);

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::install);

/// The process's metrics; the first call installs the recorder.
pub fn metrics() -> &'static Metrics {
    &METRICS
}

/// The recorder, and what the HTTP layer counts.
pub struct Metrics {
    recorder: PrometheusHandle,
    process: Collector,
    graphql_ok: Counter,
    graphql_seconds: Histogram,
    document_hits: Counter,
    document_misses: Counter,
    overloads: Counter,
    sockets: Gauge,
    subscriptions: Gauge,
}

impl Metrics {
    fn install() -> Self {
        let builder = PrometheusBuilder::new().set_buckets(&SECONDS).unwrap_or_default();
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if ::metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another recorder was installed: /metrics stays empty");
        }
        catalog::describe();
        let process = Collector::default();
        process.describe();
        let document =
            |outcome| counter!("fowergram_cache_requests_total", "cache" => "document", "outcome" => outcome);
        Self {
            recorder: handle,
            process,
            graphql_ok: counter!(HTTP_REQUESTS, "path" => "/graphql", "status" => "200"),
            graphql_seconds: histogram!(HTTP_DURATION, "path" => "/graphql"),
            document_hits: document("hit"),
            document_misses: document("miss"),
            overloads: counter!("fowergram_http_overload_refusals_total"),
            sockets: gauge!("fowergram_sockets"),
            subscriptions: gauge!("fowergram_subscriptions"),
        }
    }

    /// All metrics of the process, as Prometheus reads them.
    pub fn render(&self) -> String {
        self.process.collect();
        record_runtime();
        self.recorder.render()
    }

    /// Sums histograms up, so that they don't grow when nobody asks for them; for ever.
    pub async fn upkeep(&self) {
        loop {
            tokio::time::sleep(UPKEEP).await;
            self.recorder.run_upkeep();
        }
    }

    /// An HTTP request to a route.
    pub fn request(&self, path: &'static str, status: u16, took: Duration) {
        if path == "/graphql" {
            self.graphql_seconds.record(took);
            if status == 200 {
                return self.graphql_ok.increment(1);
            }
        } else {
            histogram!(HTTP_DURATION, "path" => path).record(took);
        }
        counter!(HTTP_REQUESTS, "path" => path, "status" => status.to_string()).increment(1);
    }

    /// An error in the answer to an operation.
    pub fn error(&self, code: Code) {
        counter!("fowergram_graphql_errors_total", "code" => code.as_str()).increment(1);
    }

    pub fn document(&self, seen: bool) {
        if seen { &self.document_hits } else { &self.document_misses }.increment(1);
    }

    /// A request that found too many others.
    pub fn overload(&self) {
        self.overloads.increment(1);
    }

    /// A socket or event stream, for as long as what comes back lives.
    pub fn socket(&self) -> Gauged {
        Gauged::new(&self.sockets)
    }

    /// A WebSocket that ended, with its close code; none where the client went without a word.
    pub fn socket_closed(&self, code: Option<u16>) {
        let code = code.map_or_else(|| "gone".to_owned(), |code| code.to_string());
        counter!("fowergram_sockets_closed_total", "code" => code).increment(1);
    }

    /// A client of a socket or event stream that did not read, and was cut off.
    pub fn slow_consumer(&self) {
        counter!("fowergram_slow_consumers_total").increment(1);
    }

    /// A running subscription, for as long as what comes back lives.
    pub fn subscription(&self) -> Gauged {
        Gauged::new(&self.subscriptions)
    }
}

fn record_runtime() {
    let Ok(runtime) = Handle::try_current() else { return };
    let runtime = runtime.metrics();
    let set = |name: &'static str, value: usize| gauge!(name).set(u32::try_from(value).unwrap_or(u32::MAX));
    set("fowergram_tokio_workers", runtime.num_workers());
    set("fowergram_tokio_tasks", runtime.num_alive_tasks());
    set("fowergram_tokio_queue_depth", runtime.global_queue_depth());
}

/// Counts one in a gauge while it lives.
pub struct Gauged(Gauge);

impl Gauged {
    fn new(gauge: &Gauge) -> Self {
        gauge.increment(1);
        Self(gauge.clone())
    }
}

impl Drop for Gauged {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
