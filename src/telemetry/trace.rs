//! Sends traces to an OTLP collector.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};

use crate::config::TraceConfig;
use crate::model::trace;

/// How long the collector may take to answer.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a stopping process waits for the last spans to be sent.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Traces of this process, or none. Spans are sent in batches by a thread of their own; when its queue is full or the
/// collector is away they are lost, and nothing else happens.
#[derive(Debug)]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    pub(super) const fn off() -> Self {
        Self(None)
    }

    pub(super) fn open(config: &TraceConfig, role: &'static str) -> anyhow::Result<Self> {
        let Some(collector) = &config.otel_exporter_otlp_endpoint else { return Ok(Self::off()) };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(collector.traces())
            .with_timeout(EXPORT_TIMEOUT)
            .build()?;
        let resource = Resource::builder()
            .with_service_name(config.otel_service_name.clone())
            .with_attributes([
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
                KeyValue::new("fowergram.role", role),
            ])
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            // What is not to be recorded makes no span: `model::trace::request_span` decides that.
            .with_sampler(Sampler::AlwaysOn)
            .with_resource(resource)
            .build();
        trace::sample(config.otel_traces_sampler_arg);
        Ok(Self(Some(provider)))
    }

    pub(super) fn tracer(&self) -> Option<opentelemetry_sdk::trace::SdkTracer> {
        self.0.as_ref().map(|provider| provider.tracer("fowergram"))
    }

    /// Sends what has not been sent.
    pub async fn close(self) {
        let Some(provider) = self.0 else { return };
        let closed = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_TIMEOUT)).await;
        if let Ok(Err(error)) = closed {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}
