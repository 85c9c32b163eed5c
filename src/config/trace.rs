//! Where traces are sent. The variables are those of the OpenTelemetry specification.

use clap::Args;

use super::value::CollectorUrl;

#[derive(Debug, Clone, Args)]
pub struct TraceConfig {
    /// The OTLP collector that traces are sent to over HTTP, as a rule on port 4318; empty: traces are off
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otel_exporter_otlp_endpoint: Option<CollectorUrl>,

    /// The name of this system in traces
    #[arg(long, env = "OTEL_SERVICE_NAME", default_value = "fowergram")]
    pub otel_service_name: String,

    /// The share of traces that are recorded, from 0 to 1
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", default_value_t = 1.0)]
    pub otel_traces_sampler_arg: f64,
}
