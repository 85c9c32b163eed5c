//! Every metric of the program. [docs/METRICS.md](../../docs/METRICS.md) is written from this list.

use std::fmt;

use metrics::{describe_counter, describe_gauge, describe_histogram};

/// What Prometheus calls the type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    /// As in `# TYPE`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric, as the code that changes it must name it.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    /// One sentence without its full stop, for `# HELP`.
    pub help: &'static str,
    /// The names of its labels. Their values are few, and never come from a client.
    pub labels: &'static [&'static str],
}

/// Metrics that belong together.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    pub title: &'static str,
    pub metrics: &'static [Metric],
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, help, labels }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, help, labels }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, help, labels }
}

/// The labels of what is counted for each PostgreSQL server.
const SERVER: &[&str] = &["shard", "endpoint"];

const HEAD: &str = "# Metrics

Each process serves them at `/metrics`: `serve` on `PORT`, `worker` on `WORKER_PORT`. Written by `make metrics`.

Histograms have these upper bounds, in seconds: 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10.
No label holds an id, a name of a person or an address. `operation` is one of `OPERATION_NAMES` or `other`; `outcome` is `OK`
or a code of [API.md](API.md#errors); `endpoint` is `primary` or a replica, as `replica-1`; `effect` is one of those in
[ARCHITECTURE.md](ARCHITECTURE.md#one-events-way).

Beside these, each process has the usual `process_*` metrics: CPU time, memory, open files, threads and start time.
";

/// All metrics, in the order of the documentation.
pub const SECTIONS: &[Section] = &[
    Section {
        title: "HTTP",
        metrics: &[
            counter(
                "fowergram_http_requests_total",
                &["path", "status"],
                "HTTP requests by route and status",
            ),
            histogram(
                "fowergram_http_request_duration_seconds",
                &["path"],
                "Time from an HTTP request's head to its answer",
            ),
            counter(
                "fowergram_http_overload_refusals_total",
                &[],
                "Requests and sockets refused because too many were open",
            ),
        ],
    },
    Section {
        title: "GraphQL",
        metrics: &[
            counter(
                "fowergram_graphql_operations_total",
                &["operation", "type", "outcome"],
                "GraphQL operations by name, type and the code of their first error, or OK",
            ),
            histogram(
                "fowergram_graphql_duration_seconds",
                &["operation", "type"],
                "Time to run a GraphQL operation; for a subscription, its whole life",
            ),
            counter(
                "fowergram_graphql_errors_total",
                &["code"],
                "Errors in the answers to GraphQL operations by code",
            ),
        ],
    },
    Section {
        title: "Sockets and live streams",
        metrics: &[
            gauge("fowergram_sockets", &[], "Open WebSockets and event streams"),
            counter(
                "fowergram_sockets_closed_total",
                &["code"],
                "WebSockets that ended, by close code, or gone if the client disconnected",
            ),
            counter(
                "fowergram_slow_consumers_total",
                &[],
                "Sockets and event streams cut off because their clients did not read",
            ),
            gauge("fowergram_subscriptions", &[], "Running subscriptions"),
            gauge("fowergram_live_topics", &[], "Streams of users and conversations that clients listen to"),
            gauge(
                "fowergram_live_signals",
                &[],
                "Posts and conversations whose likes or typing, which are not stored, clients listen to",
            ),
            counter(
                "fowergram_live_signals_missed_total",
                &[],
                "Signals that were lost in this process; streams notice changes by themselves",
            ),
            counter(
                "fowergram_live_changes_read_total",
                &[],
                "Changes read from the shards for live streams",
            ),
            counter("fowergram_live_changes_delivered_total", &[], "Changes given to subscriptions"),
            histogram(
                "fowergram_live_delivery_seconds",
                &[],
                "Time from a change until the process that has listeners for it has read it",
            ),
        ],
    },
    Section {
        title: "PostgreSQL",
        metrics: &[
            gauge("fowergram_shard_up", SERVER, "1 if the server is used, 0 if requests for it fail at once"),
            counter("fowergram_shard_errors_total", SERVER, "Requests that the server did not answer"),
            gauge("fowergram_replica_lag_seconds", SERVER, "Age of a replica's data, at most"),
            counter(
                "fowergram_shard_lagging_reads_total",
                SERVER,
                "Reads that may be a little old, by the server that answered",
            ),
            gauge(
                "fowergram_pool_connections",
                &["shard", "endpoint", "state"],
                "Connections, idle or in use",
            ),
            gauge("fowergram_pool_max_connections", SERVER, "Connections that may be open"),
            histogram("fowergram_pool_wait_seconds", SERVER, "Time until a connection was free"),
            histogram(
                "fowergram_query_duration_seconds",
                &["shard", "table"],
                "Time of a statement, by the table that it names first; transaction for BEGIN, COMMIT and ROLLBACK",
            ),
            counter(
                "fowergram_transaction_retries_total",
                &[],
                "Transactions run again after a serialization failure, a deadlock or a stale statement",
            ),
            counter(
                "fowergram_groups_split_total",
                &[],
                "Groups of writes that failed as a whole and were made one by one",
            ),
            counter(
                "fowergram_statements_reprepared_total",
                &[],
                "Times that a server's statements were prepared anew, because of a migration or a pooler",
            ),
            counter(
                "fowergram_backfill_rows_total",
                &["backfill"],
                "Rows that a migration's backfill has written",
            ),
        ],
    },
    Section {
        title: "Events and effects",
        metrics: &[
            gauge(
                "fowergram_outbox_age_seconds",
                &["shard"],
                "Age of the oldest event that is not published",
            ),
            gauge("fowergram_outbox_rows", &["shard"], "Events that are not known to be published"),
            gauge("fowergram_relay_queue", &[], "Commits whose events wait to be published"),
            counter("fowergram_events_published_total", &[], "Events sent to NATS"),
            counter("fowergram_events_acked_total", &[], "Events that NATS has stored"),
            gauge(
                "fowergram_consumer_events",
                &["effect", "state"],
                "Events of an effect, pending or delivered and unacked",
            ),
            counter(
                "fowergram_effects_total",
                &["effect", "outcome"],
                "Effects of events: done, again (to be retried), dead or panic",
            ),
            histogram("fowergram_effect_duration_seconds", &["effect"], "Time to apply an effect"),
            counter("fowergram_redeliveries_total", &["effect"], "Events that were delivered more than once"),
            gauge("fowergram_dead_events", &[], "Dead events: those whose effect failed for good"),
            counter("fowergram_bus_dropped_total", &[], "Signals that NATS did not take"),
        ],
    },
    Section {
        title: "Jobs and images",
        metrics: &[
            histogram("fowergram_job_duration_seconds", &["task"], "Time of a run of a worker's job"),
            counter("fowergram_job_failures_total", &["task"], "Runs of a job that failed"),
            counter("fowergram_media_processed_total", &[], "Images made ready"),
            counter("fowergram_media_rejected_total", &[], "Uploads that are no usable image"),
            histogram("fowergram_media_duration_seconds", &[], "Time to decode and resize an image"),
        ],
    },
    Section {
        title: "Caches and Redis",
        metrics: &[
            counter(
                "fowergram_cache_requests_total",
                &["cache", "outcome"],
                "Lookups in a cache (document, token, feed): hit or miss",
            ),
            counter("fowergram_feed_rebuilds_total", &[], "Feeds built anew from the shards"),
            counter(
                "fowergram_feed_reads_without_cache_total",
                &[],
                "Feeds read from the shards because Redis did not answer",
            ),
            counter("fowergram_redis_errors_total", &[], "Commands that Redis did not answer"),
        ],
    },
    Section {
        title: "Accounts and activity",
        metrics: &[
            counter(
                "fowergram_activity_total",
                &["activity"],
                "What people did: sign_up, post, comment, message, like or follow",
            ),
            counter(
                "fowergram_password_hashes_refused_total",
                &[],
                "Sign-ins and sign-ups refused because too many came at once",
            ),
            gauge(
                "fowergram_token_key_age_seconds",
                &[],
                "Age of the file with the key that signs access tokens",
            ),
        ],
    },
    Section {
        title: "The process",
        metrics: &[
            gauge("fowergram_build_info", &["version", "role"], "Always 1; the labels say what runs"),
            gauge("fowergram_tokio_workers", &[], "Threads that run tasks"),
            gauge("fowergram_tokio_tasks", &[], "Tasks that are alive"),
            gauge("fowergram_tokio_queue_depth", &[], "Tasks that wait for a thread"),
        ],
    },
];

/// All metrics of [`SECTIONS`].
pub fn all() -> impl Iterator<Item = &'static Metric> {
    SECTIONS.iter().flat_map(|section| section.metrics)
}

/// The documentation of all metrics, in Markdown.
pub struct Document;

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        for section in SECTIONS {
            write!(f, "\n## {}\n\n| Metric | Type | Meaning |\n|---|---|---|\n", section.title)?;
            for Metric { name, kind, help, labels } in section.metrics {
                let labels =
                    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
                writeln!(f, "| `{name}{labels}` | {} | {help} |", kind.name())?;
            }
        }
        Ok(())
    }
}

/// Gives each metric its help text. Counters without labels begin at 0, so that their first increase is seen.
pub(super) fn describe() {
    for metric in all() {
        match metric.kind {
            Kind::Counter => {
                describe_counter!(metric.name, metric.help);
                if metric.labels.is_empty() {
                    metrics::counter!(metric.name).absolute(0);
                }
            }
            Kind::Gauge => describe_gauge!(metric.name, metric.help),
            Kind::Histogram => describe_histogram!(metric.name, metric.help),
        }
    }
}
