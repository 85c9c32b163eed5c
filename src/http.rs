//! HTTP: the GraphQL endpoint, its sockets and event streams, health, metrics and the Playground.

mod auth;
mod body;
mod cors;
mod graphql;
mod health;
mod negotiate;
mod operations;
mod playground;
mod reply;
mod server;
mod socket;
mod stream;
mod upload;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::app::App;
use crate::config::Environment;
use crate::telemetry::{self, Gauged};
use cors::Cors;
use stream::Reservations;

pub use server::serve;

/// What handlers share.
#[derive(Clone)]
struct Http(Arc<Shared>);

struct Shared {
    app: App,
    cors: Cors,
    /// Each running request holds one; nobody waits for one.
    requests: Semaphore,
    /// Each socket and each event stream holds one.
    sockets: Arc<Semaphore>,
    /// Their tasks, for a stopping process to wait for.
    socket_tasks: TaskTracker,
    reservations: Reservations,
    timeout: Duration,
}

impl Deref for Http {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// What an open socket or event stream holds.
struct Seat {
    _place: OwnedSemaphorePermit,
    _awaited: TaskTrackerToken,
    _counted: Gauged,
}

impl Http {
    /// A seat for one more socket or stream; none where there are too many, or the process stops.
    fn seat(&self) -> Option<Seat> {
        let place = Arc::clone(&self.sockets).try_acquire_owned();
        let (Ok(place), false) = (place, self.app.stopping().is_cancelled()) else {
            telemetry::metrics().overload();
            return None;
        };
        let (awaited, counted) = (self.socket_tasks.token(), telemetry::metrics().socket());
        Some(Seat { _place: place, _awaited: awaited, _counted: counted })
    }
}

/// All routes. No layer lies over `/graphql`: what each request needs is done in its handler.
pub fn router(app: App) -> Router {
    build(app).0
}

fn build(app: App) -> (Router, Http) {
    let config = &app.config().http;
    let development = app.config().environment == Environment::Development;
    let shared = Shared {
        cors: Cors::new(config, development),
        requests: Semaphore::new(config.max_concurrent_requests.min(Semaphore::MAX_PERMITS)),
        sockets: Arc::new(Semaphore::new(config.max_sockets.min(Semaphore::MAX_PERMITS))),
        socket_tasks: TaskTracker::new(),
        reservations: Reservations::default(),
        timeout: Duration::from_millis(config.request_timeout_ms),
        app,
    };
    let mut router = Router::new()
        .route("/graphql", any(graphql::handle))
        .route("/graphql/ws", get(socket::upgrade))
        .route("/graphql/stream", any(stream::handle))
        .merge(health::routes());
    if development {
        router = router.merge(playground::routes());
    }
    let http = Http(Arc::new(shared));
    (router.with_state(http.clone()), http)
}
