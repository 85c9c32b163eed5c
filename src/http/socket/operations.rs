//! The operations that run on one socket.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response};
use axum::extract::ws::Utf8Bytes;
use futures_util::stream::{AbortHandle, BoxStream, SelectAll, abortable, iter, once};
use futures_util::{FutureExt as _, StreamExt as _};

use super::protocol::{Close, ToClient};
use crate::domain::Error;
use crate::domain::account::Viewer;
use crate::graphql::engine::Engine;
use crate::graphql::error::{self, Refusal};
use crate::graphql::request::{Incoming, RequestMeta};
use crate::http::Http;
use crate::http::graphql::{failed, panicked};
use crate::telemetry::{self, within_request};

/// How many operations one socket may run at once.
const MAX_OPERATIONS: usize = 32;

/// A message for the client; after the last one the operation is over.
pub struct Event {
    pub text: Utf8Bytes,
    last: Option<Arc<str>>,
}

impl Event {
    const fn more(text: Utf8Bytes) -> Self {
        Self { text, last: None }
    }

    const fn last(text: Utf8Bytes, id: Arc<str>) -> Self {
        Self { text, last: Some(id) }
    }
}

/// Runs operations side by side, in the socket's own task: none goes on while a message is being
/// written, so that what a slow client has not read is never more than one message.
#[derive(Default)]
pub struct Operations {
    handles: HashMap<Arc<str>, AbortHandle>,
    streams: SelectAll<BoxStream<'static, Event>>,
}

impl Operations {
    /// Starts an operation. `Some` is what to tell the client instead.
    pub fn start(&mut self, id: &str, operation: Operation) -> Result<Option<Utf8Bytes>, Close> {
        if self.handles.contains_key(id) {
            return Err(Close::duplicate(id));
        }
        if self.handles.len() >= MAX_OPERATIONS {
            let refusal = Refusal::from(Error::RateLimited { retry_after_ms: 1000 });
            return Ok(Some(operation.refused(id, refusal)));
        }
        let id: Arc<str> = id.into();
        let (stream, handle) = abortable(once(operation.run(Arc::clone(&id))).flatten());
        self.handles.insert(id, handle);
        self.streams.push(stream.boxed());
        Ok(None)
    }

    /// Ends an operation; an unknown one has ended already.
    pub fn stop(&mut self, id: &str) {
        if let Some(handle) = self.handles.remove(id) {
            handle.abort();
        }
    }

    /// The next message; waits for ever where nothing runs.
    pub async fn next(&mut self) -> Event {
        match self.streams.next().await {
            Some(event) => {
                if let Some(id) = &event.last {
                    self.handles.remove(id);
                }
                event
            }
            None => std::future::pending().await,
        }
    }
}

/// An operation that is about to start.
pub struct Operation {
    pub http: Http,
    pub viewer: Option<Viewer>,
    pub meta: RequestMeta,
    pub incoming: Incoming<'static>,
}

impl Operation {
    async fn run(self, id: Arc<str>) -> BoxStream<'static, Event> {
        let request_id = self.meta.request_id.clone();
        within_request(request_id, async move {
            let http = self.http.clone();
            let Ok(_running) = http.requests.try_acquire() else {
                telemetry::metrics().overload();
                let text = self.refused(&id, Error::RateLimited { retry_after_ms: 1000 }.into());
                return iter([Event::last(text, id)]).boxed();
            };
            self.admitted(id).await
        })
        .await
    }

    async fn admitted(mut self, id: Arc<str>) -> BoxStream<'static, Event> {
        let started = Instant::now();
        let engine = self.http.app.engine();
        let variables = std::mem::take(&mut self.incoming.variables);
        let admitted = engine.admit(&self.incoming.query, self.incoming.name(), &variables, 0).await;
        let operation = match admitted {
            Ok(operation) => operation,
            Err(refusal) => return iter([Event::last(self.refused(&id, refusal), id)]).boxed(),
        };
        let request = Engine::<crate::graphql::Query>::request(&operation, variables, Vec::new())
            .data(self.http.app.request_data(self.viewer.clone(), self.meta.clone()));
        if operation.kind == OperationType::Subscription {
            telemetry::metrics().operation(operation.kind, None, started.elapsed());
            return self.subscribe(request, id);
        }
        let mut response = self.execute(request).await;
        let code = error::finish(&mut response.errors, &self.meta.request_id);
        telemetry::metrics().operation(operation.kind, code, started.elapsed());
        let next = ToClient::Next { id: &id, payload: &response }.text();
        iter([Event::more(next), complete(id)]).boxed()
    }

    async fn execute(&self, request: Request) -> Response {
        let run = AssertUnwindSafe(self.http.app.engine().execute(request)).catch_unwind();
        match tokio::time::timeout(self.http.timeout, run).await {
            Ok(Ok(response)) => response,
            Ok(Err(panic)) => failed(panicked(&*panic)),
            Err(_) => failed(Error::Timeout),
        }
    }

    fn subscribe(self, request: Request, id: Arc<str>) -> BoxStream<'static, Event> {
        let counted = telemetry::metrics().subscription();
        let last = Arc::clone(&id);
        AssertUnwindSafe(self.http.app.engine().stream(request))
            .catch_unwind()
            .map(move |item| {
                let _counted = &counted;
                let mut response = item.unwrap_or_else(|panic| failed(panicked(&*panic)));
                error::finish(&mut response.errors, &self.meta.request_id);
                Event::more(ToClient::Next { id: &id, payload: &response }.text())
            })
            .chain(once(async move { complete(last) }))
            .boxed()
    }

    fn refused(&self, id: &str, refusal: Refusal) -> Utf8Bytes {
        telemetry::metrics().refused(refusal.code());
        ToClient::Error { id, payload: &refusal.finish(&self.meta.request_id) }.text()
    }
}

fn complete(id: Arc<str>) -> Event {
    Event::last(ToClient::Complete { id: &id }.text(), id)
}
