//! The place of work in a distributed trace.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use serde::{Deserialize, Serialize};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target of all spans, by which they are told from log lines: nothing else has it, and without traces no span with
/// it is made.
pub const TARGET: &str = "otel";

const HEADER: &str = "traceparent";
/// Version 00 has 55 characters; later ones may have more.
const MAX_LENGTH: usize = 128;

/// A span of this or another process, as the header `traceparent` of W3C Trace Context says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TraceParent(String);

impl TraceParent {
    /// What a client has sent, if it is not too long. Its form is checked when it is used.
    pub fn given(text: &str) -> Option<Self> {
        (text.len() <= MAX_LENGTH).then(|| Self(text.to_owned()))
    }

    /// The current span; `None` without traces.
    pub fn current() -> Option<Self> {
        let span = Span::current();
        if span.is_disabled() {
            return None;
        }
        let mut carrier = HashMap::new();
        TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
        carrier.remove(HEADER).map(Self)
    }

    /// Makes it the parent of a span that has not been entered. One that does not follow the format is ignored.
    pub fn adopt(&self, span: &Span) {
        if span.is_disabled() {
            return;
        }
        let carrier = HashMap::from([(HEADER.to_owned(), self.0.clone())]);
        // Fails for a span that has begun, or is not recorded.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
    }
}

/// The span for work that is done for several: that of the first, to which the others link. `None` if there are none.
pub fn common_span<'a>(mut spans: impl Iterator<Item = &'a Span>) -> Option<Span> {
    let first = spans.next()?;
    spans.for_each(|other| link(other, first));
    Some(first.clone())
}

/// Notes in `span` that its work was done in another span, together with that of others.
fn link(span: &Span, to: &Span) {
    if span.is_disabled() || to.is_disabled() {
        return;
    }
    let done_in = to.context().span().span_context().clone();
    if done_in.is_valid() {
        span.add_link(done_in);
    }
}

/// The id of the current span's trace, in hexadecimal; `None` without traces.
pub fn current_trace_id() -> Option<String> {
    let span = Span::current();
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let context = context.span().span_context().clone();
    context.is_valid().then(|| context.trace_id().to_string())
}
