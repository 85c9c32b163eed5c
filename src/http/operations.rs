//! The operations that run on one socket or event stream.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response, ServerError};
use futures_util::stream::{AbortHandle, AbortRegistration, Abortable, BoxStream, SelectAll, iter, once};
use futures_util::{FutureExt as _, StreamExt as _};
use tracing::field::Empty;
use tracing::{Instrument as _, Span, info_span};

use super::graphql::{execute, failed, panicked, record_outcome};
use super::state::Http;
use crate::domain::viewer::Viewer;
use crate::graphql::context::RequestMeta;
use crate::graphql::document;
use crate::graphql::engine::Engine;
use crate::graphql::error::{self, Refusal};
use crate::graphql::request::Incoming;
use crate::model::Error;
use crate::model::trace::{self, TARGET};
use crate::telemetry::{self, within_request};

/// How many operations one socket or stream may run at once.
pub const MAX_OPERATIONS: usize = 32;
/// The longest id that a client may give to an operation, in bytes.
pub const MAX_ID: usize = 128;

/// A message of an operation to its client.
#[derive(Clone, Copy)]
pub enum Outcome<'a> {
    Next(&'a Response),
    /// It is not run, or no longer: nothing comes behind.
    Refused(&'a [ServerError]),
    Complete,
}

/// How a protocol encodes the messages of the operation with this id.
pub type Write = fn(&str, Outcome<'_>) -> String;

/// What is written for the client, if anything; after the last one the operation is over.
pub struct Event {
    text: Option<String>,
    last: Option<Arc<str>>,
}

impl Event {
    const fn more(text: String) -> Self {
        Self { text: Some(text), last: None }
    }

    const fn last(text: String, id: Arc<str>) -> Self {
        Self { text: Some(text), last: Some(id) }
    }

    /// The operation has ended, without a message to the client.
    const fn silent_end(id: Arc<str>) -> Self {
        Self { text: None, last: Some(id) }
    }
}

/// The messages of an operation, until it ends or is stopped.
pub type Events = BoxStream<'static, Event>;

/// The ids of the operations that run; shared by all who start and stop them.
#[derive(Clone, Default)]
pub struct Running(Arc<Mutex<HashMap<Arc<str>, AbortHandle>>>);

/// Why an operation does not get a place among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegisterError {
    /// Another one has the id.
    IdInUse,
    TooMany,
}

/// An operation's place among the others.
#[derive(Debug)]
pub struct Registration {
    id: Arc<str>,
    registration: AbortRegistration,
}

impl Running {
    /// Takes a place, which is free again when the operation is over.
    pub fn register(&self, id: &str) -> Result<Registration, RegisterError> {
        let mut handles = self.lock();
        if handles.contains_key(id) {
            return Err(RegisterError::IdInUse);
        }
        if handles.len() >= MAX_OPERATIONS {
            return Err(RegisterError::TooMany);
        }
        let (handle, registration) = AbortHandle::new_pair();
        let id: Arc<str> = id.into();
        handles.insert(Arc::clone(&id), handle);
        Ok(Registration { id, registration })
    }

    /// Ends an operation; an unknown one has ended already.
    pub fn stop(&self, id: &str) {
        if let Some(handle) = self.lock().remove(id) {
            handle.abort();
        }
    }

    pub fn ids(&self) -> Vec<Arc<str>> {
        self.lock().keys().cloned().collect()
    }

    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Gives a place back, unless another operation has taken the same id meanwhile.
    fn leave(&self, id: &Arc<str>) {
        let mut handles = self.lock();
        if handles.get_key_value(id).is_some_and(|(known, _)| Arc::ptr_eq(known, id)) {
            handles.remove(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, AbortHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    /// What the operation will tell; it begins when it is first asked.
    pub fn run(self, operation: Operation) -> Events {
        let id = Arc::clone(&self.id);
        // Boxed by itself, so that a subscription does not hold on to the room that its start took.
        let events = once(operation.run(self.id).boxed()).flatten();
        // One that is stopped, by its client or with the process, has said nothing of its end.
        let end = once(async move { Event::silent_end(id) });
        Abortable::new(events, self.registration).chain(end).boxed()
    }
}

/// Runs operations side by side, in the connection's own task: none goes on while an event is being
/// written, so that what a slow client has not read is never more than one event.
pub struct Operations {
    http: Http,
    running: Running,
    streams: SelectAll<Events>,
}

impl Operations {
    pub fn new(http: &Http, running: Running) -> Self {
        Self { http: http.clone(), running, streams: SelectAll::new() }
    }

    pub const fn running(&self) -> &Running {
        &self.running
    }

    pub fn push(&mut self, events: Events) {
        self.streams.push(events);
    }

    /// Whether there is room for one more, stopped ones that were not yet cleared away counted.
    pub fn has_room(&self) -> bool {
        self.streams.len() < MAX_OPERATIONS
    }

    /// What there is to write at once, for a session that has ended: some operations tell that themselves.
    pub fn final_messages(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        while words.len() < MAX_OPERATIONS
            && let Some(Some(event)) = self.streams.next().now_or_never()
        {
            if let Some(id) = &event.last {
                self.running.leave(id);
            }
            words.extend(event.text);
        }
        words
    }

    /// The next thing to write; waits while there is none. `None` in a stopping process, once all that ran
    /// has come to its end or the time is up; subscriptions end by themselves there.
    pub async fn next(&mut self) -> Option<String> {
        let stopping = self.http.app.stopping();
        loop {
            let finishing = stopping.is_cancelled();
            if finishing && self.running.is_empty() {
                return None;
            }
            tokio::select! {
                Some(event) = self.streams.next() => {
                    if let Some(id) = &event.last {
                        self.running.leave(id);
                    }
                    if event.text.is_some() {
                        return event.text;
                    }
                }
                () = stopping.cancelled(), if !finishing => {}
                () = self.http.time_is_up(), if finishing => return None,
            }
        }
    }
}

/// An operation that is about to start.
pub struct Operation {
    http: Http,
    viewer: Option<Viewer>,
    meta: RequestMeta,
    incoming: Incoming<'static>,
    write: Write,
    admitted: Option<Arc<document::Operation>>,
}

impl Operation {
    pub fn new(
        http: &Http,
        viewer: Option<Viewer>,
        meta: RequestMeta,
        incoming: Incoming<'_>,
        write: Write,
    ) -> Self {
        Self { http: http.clone(), viewer, meta, incoming: incoming.into_owned(), write, admitted: None }
    }

    /// Decides whether it may run; once, however often it is asked.
    pub async fn admit(&mut self) -> Result<Arc<document::Operation>, Refusal> {
        if let Some(admitted) = &self.admitted {
            return Ok(Arc::clone(admitted));
        }
        let admitted = self.incoming.admit(self.http.app.engine(), 0).await?;
        self.admitted = Some(Arc::clone(&admitted));
        Ok(admitted)
    }

    async fn run(self, id: Arc<str>) -> Events {
        let request_id = self.meta.request_id.clone();
        let span = self.span();
        let run = within_request(request_id, async move {
            let http = self.http.clone();
            let Ok(_running) = http.requests.try_acquire() else {
                telemetry::metrics().overload();
                let text = self.refused(&id, Error::RateLimited { retry_after_ms: 1000 }.into());
                return iter([Event::last(text, id)]).boxed();
            };
            self.start(id).await
        });
        run.instrument(span).await
    }

    /// The span of an operation on a socket or stream, which are open for long and so have none.
    fn span(&self) -> Span {
        trace::request_span(self.meta.trace_parent.as_ref(), || {
            info_span!(
                target: TARGET,
                "message",
                otel.name = "socket operation",
                otel.kind = "server",
                request_id = self.meta.request_id.as_str(),
                graphql.error.code = Empty,
                otel.status_code = Empty,
            )
        })
    }

    async fn start(mut self, id: Arc<str>) -> Events {
        let started = Instant::now();
        let operation = match self.admit().await {
            Ok(operation) => operation,
            Err(refusal) => return iter([Event::last(self.refused(&id, refusal), id)]).boxed(),
        };
        let variables = std::mem::take(&mut self.incoming.variables);
        let request = Engine::<crate::graphql::Query>::request(&operation, variables, Vec::new())
            .data(self.http.app.request_data(self.viewer.clone(), self.meta.clone()));
        if operation.kind == OperationType::Subscription {
            self.http.operations.ended(operation.name(), operation.kind, None, started.elapsed());
            return self.subscribe(request, id);
        }
        let mut response = execute(&self.http, &operation, request).await;
        let code = error::finish(&mut response.errors, &self.meta.request_id);
        self.http.operations.ended(operation.name(), operation.kind, code, started.elapsed());
        record_outcome(code);
        let next = (self.write)(&id, Outcome::Next(&response));
        iter([Event::more(next), complete(self.write, id)]).boxed()
    }

    fn subscribe(self, request: Request, id: Arc<str>) -> Events {
        let counted = telemetry::metrics().subscription();
        let (last, write) = (Arc::clone(&id), self.write);
        let stopping = self.http.app.stopping().clone().cancelled_owned();
        AssertUnwindSafe(self.http.app.engine().stream(request))
            .catch_unwind()
            .map(move |item| {
                let _counted = &counted;
                let mut response = item.unwrap_or_else(|panic| failed(panicked(&*panic)));
                error::finish(&mut response.errors, &self.meta.request_id);
                Event::more(write(&id, Outcome::Next(&response)))
            })
            .chain(once(async move { complete(write, last) }))
            // Without `complete`, which would tell clients not to come back.
            .take_until(stopping)
            .boxed()
    }

    /// What to tell the client instead of running it.
    pub fn refused(&self, id: &str, refusal: Refusal) -> String {
        telemetry::refused(refusal.code());
        (self.write)(id, Outcome::Refused(&refusal.finish(&self.meta.request_id)))
    }
}

fn complete(write: Write, id: Arc<str>) -> Event {
    Event::last(write(&id, Outcome::Complete), id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_until_its_operation_is_over() {
        let running = Running::default();
        let first = running.register("a").expect("a place");
        assert_eq!(running.register("a").err(), Some(RegisterError::IdInUse));
        running.stop("a");
        let second = running.register("a").expect("a place");
        running.leave(&first.id);
        assert_eq!(
            running.register("a").err(),
            Some(RegisterError::IdInUse),
            "the first can't give back the second's"
        );
        running.leave(&second.id);
        assert!(running.is_empty());
    }

    #[test]
    fn places_are_few() {
        let running = Running::default();
        for number in 0..MAX_OPERATIONS {
            running.register(&number.to_string()).expect("a place");
        }
        assert_eq!(running.register("more").err(), Some(RegisterError::TooMany));
        running.stop("0");
        assert!(running.register("more").is_ok());
    }
}
