//! Log lines: one JSON object a line, or text for people.

use std::fmt;
use std::io::IsTerminal as _;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, dynamic_filter_fn, filter_fn};
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use super::current_request;
use super::trace::Traces;
use crate::config::{LogConfig, LogFormat, TraceConfig};
use crate::model::Clock;
use crate::model::trace::{ROOTS, TARGET, current_trace_id};

/// Starts logging to standard error. Fails where the filter can't be read or logging has started.
pub fn init(config: &LogConfig) -> anyhow::Result<()> {
    start(config, &Traces::off())
}

/// Like [`init`], and starts traces if the settings say so.
pub fn init_traced(config: &LogConfig, traces: &TraceConfig, role: &'static str) -> anyhow::Result<Traces> {
    let traces = Traces::open(traces, role)?;
    start(config, &traces)?;
    Ok(traces)
}

fn start(config: &LogConfig, traces: &Traces) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log).map_err(|error| anyhow::anyhow!("LOG: {error}"))?;
    // Spans are for traces only.
    let filter = filter.add_directive(format!("{TARGET}=off").parse()?);
    let started = match traces.tracer() {
        // One filter for all: what it leaves out costs next to nothing, and spans are not even made.
        None => tracing_subscriber::registry().with(filter).with(lines(config)).try_init(),
        Some(exporter) => {
            let spans = tracing_opentelemetry::layer()
                .with_tracer(exporter)
                .with_location(false)
                .with_threads(false)
                .with_target(false)
                .with_tracked_inactivity(false)
                .with_filter(filter_fn(|metadata| metadata.target() == TARGET));
            let recorded = recorded(filter.max_level_hint());
            let lines = lines(config).with_filter(filter);
            tracing_subscriber::registry().with(spans).with(lines).with(recorded).try_init()
        }
    };
    started.map_err(|error| anyhow::anyhow!("logging can't start: {error}"))
}

/// Leaves out the spans of libraries, and those that neither begin nor are inside of others: of requests that are not
/// recorded. It is a layer, because what the filter of a layer leaves out is made all the same.
fn recorded<S>(lines: Option<LevelFilter>) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    dynamic_filter_fn(|metadata, context: &Context<'_, S>| {
        metadata.is_event() || ROOTS.contains(&metadata.name()) || context.lookup_current().is_some()
    })
    .with_callsite_filter(|metadata| match metadata.target() {
        _ if metadata.is_event() => Interest::always(),
        TARGET => Interest::sometimes(),
        _ => Interest::never(),
    })
    // Spans are of this level; without a limit each log line of any level would be looked at.
    .with_max_level_hint(lines.map_or(LevelFilter::TRACE, |lines| lines.max(LevelFilter::INFO)))
}

/// Writes log lines to standard error.
fn lines<S>(config: &LogConfig) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // What can't be written is lost in silence: the way to say so is the same standard error, and failing
    // to write there by other means is a panic, in whichever request logs.
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .log_internal_errors(false);
    match config.log_format {
        LogFormat::Json => lines.event_format(Json).boxed(),
        LogFormat::Text => lines.event_format(Text(Format::default().without_time().compact())).boxed(),
    }
}

fn now() -> String {
    Clock::system().now().format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}

/// Written by hand, so that the request's id is looked up only when a line is written.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Line(Map::new());
        line.set("time", now());
        line.set("level", event.metadata().level().as_str());
        line.set("target", event.metadata().target());
        event.record(&mut line);
        if !line.0.contains_key("request_id")
            && let Some(id) = current_request()
        {
            line.set("request_id", id.as_str());
        }
        if let Some(id) = current_trace_id() {
            line.set("trace_id", id);
        }
        writeln!(writer, "{}", Value::Object(line.0))
    }
}

struct Line(Map<String, Value>);

impl Line {
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field.name(), format!("{value:?}"));
    }
}

/// The usual compact line, after the time and the request's id.
struct Text<F>(F);

impl<S, N, F> FormatEvent<S, N> for Text<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "{} ", now())?;
        if let Some(id) = current_request() {
            write!(writer, "[{id}] ")?;
        }
        self.0.format_event(context, writer, event)
    }
}

#[cfg(test)]
mod tests {
    use tracing::{Span, info_span};
    use tracing_subscriber::fmt::layer;

    use super::*;

    #[test]
    fn spans_are_made_inside_of_others_only() {
        let spans =
            layer().with_writer(std::io::sink).with_filter(filter_fn(|metadata| metadata.target() == TARGET));
        let lines =
            layer().with_writer(std::io::sink).with_filter(EnvFilter::new(format!("warn,{TARGET}=off")));
        let subscriber =
            tracing_subscriber::registry().with(spans).with(lines).with(recorded(Some(LevelFilter::WARN)));
        tracing::subscriber::with_default(subscriber, || {
            assert!(info_span!(target: TARGET, "statement").is_disabled());
            let request = info_span!(target: TARGET, "request");
            request.in_scope(|| assert!(!info_span!(target: TARGET, "statement").is_disabled()));
            Span::none().in_scope(|| assert!(info_span!(target: TARGET, "operation").is_disabled()));
            assert!(!request.is_disabled() && info_span!("of a library").is_disabled());
        });
    }
}
