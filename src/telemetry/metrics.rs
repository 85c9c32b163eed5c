//! Metrics: registered once, so that a request only adds to counters that it holds already.

use std::sync::LazyLock;
use std::time::Duration;

use ::metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
};
use ::metrics::{gauge, histogram};
use async_graphql::parser::types::OperationType;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::model::Code;

const HTTP_REQUESTS: &str = "fowergram_http_requests_total";
const HTTP_DURATION: &str = "fowergram_http_request_duration_seconds";
const OPERATIONS: &str = "fowergram_graphql_operations_total";
const OPERATION_DURATION: &str = "fowergram_graphql_duration_seconds";
const DOCUMENTS: &str = "fowergram_graphql_documents_total";
const REFUSED: &str = "fowergram_http_overload_refusals_total";
const SOCKETS: &str = "fowergram_sockets";
const SOCKETS_CLOSED: &str = "fowergram_sockets_closed_total";
const SLOW_CONSUMERS: &str = "fowergram_slow_consumers_total";
const SUBSCRIPTIONS: &str = "fowergram_subscriptions";

const SECONDS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Histograms keep each value until they are told to sum up.
const UPKEEP: Duration = Duration::from_secs(5);
const KINDS: [&str; 3] = ["query", "mutation", "subscription"];

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::install);

/// The process's metrics; the first call installs the recorder.
pub fn metrics() -> &'static Metrics {
    &METRICS
}

/// The recorder, and what the HTTP layer counts.
pub struct Metrics {
    recorder: PrometheusHandle,
    graphql_ok: Counter,
    graphql_seconds: Histogram,
    succeeded: [Counter; 3],
    seconds: [Histogram; 3],
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
        describe();
        Self {
            recorder: handle,
            graphql_ok: counter!(HTTP_REQUESTS, "path" => "/graphql", "status" => "200"),
            graphql_seconds: histogram!(HTTP_DURATION, "path" => "/graphql"),
            succeeded: KINDS.map(|kind| counter!(OPERATIONS, "type" => kind, "outcome" => "OK")),
            seconds: KINDS.map(|kind| histogram!(OPERATION_DURATION, "type" => kind)),
            document_hits: counter!(DOCUMENTS, "seen" => "true"),
            document_misses: counter!(DOCUMENTS, "seen" => "false"),
            overloads: counter!(REFUSED),
            sockets: gauge!(SOCKETS),
            subscriptions: gauge!(SUBSCRIPTIONS),
        }
    }

    /// All metrics of the process, as Prometheus reads them.
    pub fn render(&self) -> String {
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

    /// An operation that ended, with its first error.
    pub fn operation(&self, kind: OperationType, code: Option<Code>, took: Duration) {
        let index = kind_index(kind);
        self.seconds[index].record(took);
        match code {
            None => self.succeeded[index].increment(1),
            Some(code) => {
                counter!(OPERATIONS, "type" => KINDS[index], "outcome" => code.as_str()).increment(1);
            }
        }
    }

    /// An operation that was not run, whose type may be unknown.
    pub fn refused(&self, code: Code) {
        counter!(OPERATIONS, "type" => "refused", "outcome" => code.as_str()).increment(1);
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
        counter!(SOCKETS_CLOSED, "code" => code).increment(1);
    }

    /// A client of a socket or event stream that did not read, and was cut off.
    pub fn slow_consumer(&self) {
        counter!(SLOW_CONSUMERS).increment(1);
    }

    /// A running subscription, for as long as what comes back lives.
    pub fn subscription(&self) -> Gauged {
        Gauged::new(&self.subscriptions)
    }
}

fn describe() {
    describe_counter!(HTTP_REQUESTS, "HTTP requests, by route and status.");
    describe_histogram!(HTTP_DURATION, Unit::Seconds, "How long HTTP requests took, by route.");
    describe_counter!(OPERATIONS, "GraphQL operations, by type and by the first error's code.");
    describe_histogram!(OPERATION_DURATION, Unit::Seconds, "How long GraphQL operations ran, by type.");
    describe_counter!(DOCUMENTS, "GraphQL documents, by whether they were validated before.");
    describe_counter!(REFUSED, "Requests refused because too many were running.");
    describe_gauge!(SOCKETS, "Open WebSockets and event streams.");
    describe_counter!(SOCKETS_CLOSED, "WebSockets that ended, by the server's close code.");
    describe_counter!(
        SLOW_CONSUMERS,
        "Sockets and event streams cut off because their clients did not read."
    );
    describe_gauge!(SUBSCRIPTIONS, "Running subscriptions.");
}

const fn kind_index(kind: OperationType) -> usize {
    match kind {
        OperationType::Query => 0,
        OperationType::Mutation => 1,
        OperationType::Subscription => 2,
    }
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
