//! The place of work in a distributed trace.

use std::collections::HashMap;
use std::sync::OnceLock;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanKind, TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    IdGenerator as _, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample as _,
};
use serde::{Deserialize, Serialize};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target of all spans, by which they are told from log lines: nothing else has it, and without traces no span with
/// it is made.
pub const TARGET: &str = "otel";

/// The names of the spans with which the work of a process begins. All others are made inside of them only.
pub const ROOTS: [&str; 3] = ["request", "message", "effect"];

/// Which requests are recorded; unset without traces.
static SAMPLER: OnceLock<Sampler> = OnceLock::new();

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

    /// The context with the span that it names; none if it does not follow the format.
    fn context(&self) -> Option<Context> {
        let carrier = HashMap::from([(HEADER.to_owned(), self.0.clone())]);
        let context = TraceContextPropagator::new().extract(&carrier);
        context.span().span_context().is_valid().then_some(context)
    }
}

/// Records this share of the requests, from 0 to 1.
pub fn sample(share: f64) {
    // By the trace's id, so that all processes decide alike.
    let _ = SAMPLER.set(Sampler::TraceIdRatioBased(share));
}

/// The span of a request, below that of its client; a disabled one if the trace is not recorded. What is not recorded
/// is decided here, and makes no spans at all: those would cost almost as much as recorded ones. The client's flag does
/// not decide.
pub fn request_span(parent: Option<&TraceParent>, make: impl FnOnce() -> Span) -> Span {
    let Some(sampler) = SAMPLER.get() else { return Span::none() };
    let parent = parent.and_then(TraceParent::context);
    let trace = parent.as_ref().map(|parent| parent.span().span_context().trace_id());
    let trace = trace.unwrap_or_else(|| RandomIdGenerator::default().new_trace_id());
    let result = sampler.should_sample(None, trace, "", &SpanKind::Server, &[], &[]);
    if result.decision == SamplingDecision::RecordAndSample { below(parent, make) } else { Span::none() }
}

/// The span of what follows from a request elsewhere; a disabled one if the request was not recorded.
pub fn effect_span(parent: impl FnOnce() -> Option<TraceParent>, make: impl FnOnce() -> Span) -> Span {
    if SAMPLER.get().is_none() {
        return Span::none();
    }
    let parent = parent().and_then(|parent| parent.context());
    let is_recorded = parent.as_ref().is_some_and(|parent| parent.span().span_context().is_sampled());
    if is_recorded { below(parent, make) } else { Span::none() }
}

fn below(parent: Option<Context>, make: impl FnOnce() -> Span) -> Span {
    let span = make();
    if let Some(parent) = parent
        && !span.is_disabled()
    {
        // Fails only for a span that has begun.
        let _ = span.set_parent(parent);
    }
    span
}

/// The span for work that is done for several: that of the first that is recorded, to which the others link. `None` if
/// there are none.
pub fn common_span<'a>(spans: impl Iterator<Item = &'a Span>) -> Option<Span> {
    let mut common: Option<&Span> = None;
    for span in spans {
        match common {
            Some(first) if !first.is_disabled() => link(span, first),
            _ => common = Some(span),
        }
    }
    common.cloned()
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
