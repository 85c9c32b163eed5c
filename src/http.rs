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
mod seat;
mod server;
mod socket;
mod stream;
mod upload;

use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::config::Environment;
use crate::telemetry;
use cors::Cors;
use seat::{Seat, Seats};
use stream::Reservations;

pub use server::serve;

/// How long the last words to sockets may take in a stopping process, within its grace period.
const FAREWELL: Duration = Duration::from_millis(1500);

/// What handlers share.
#[derive(Clone)]
struct Http(Arc<Shared>);

struct Shared {
    app: App,
    cors: Cors,
    /// Each running request holds one; nobody waits for one.
    requests: Semaphore,
    /// Each socket and each event stream holds one.
    seats: Seats,
    /// Their tasks, for a stopping process to wait for.
    socket_tasks: TaskTracker,
    reservations: Reservations,
    timeout: Duration,
    /// How long one event may take to be written to a socket or event stream.
    write_timeout: Duration,
    /// How long a stopping process goes on with what runs on sockets and event streams.
    finish_timeout: Duration,
    /// When that is over; set when it has begun.
    finish_by: OnceLock<Instant>,
}

impl Deref for Http {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Http {
    /// A seat for one more socket or stream; none where there are too many, or the process stops.
    fn seat(&self) -> Option<Seat> {
        let stopping = self.app.stopping().is_cancelled();
        let seat = if stopping { None } else { self.seats.take(&self.socket_tasks) };
        if seat.is_none() {
            telemetry::metrics().overload();
        }
        seat
    }

    /// Resolves when a stopping process can wait no longer for what runs on sockets and event streams. To
    /// be asked only while it is stopping.
    async fn time_is_up(&self) {
        sleep_until(*self.finish_by.get_or_init(|| Instant::now() + self.finish_timeout)).await;
    }
}

/// All routes. No layer lies over `/graphql`: what each request needs is done in its handler.
pub fn router(app: App) -> Router {
    build(app).0
}

fn build(app: App) -> (Router, Http) {
    let config = &app.config().http;
    let development = app.config().environment == Environment::Development;
    let grace = Duration::from_millis(config.shutdown_grace_ms);
    let shared = Shared {
        cors: Cors::new(config, development),
        requests: Semaphore::new(config.max_concurrent_requests.min(Semaphore::MAX_PERMITS)),
        seats: Seats::new(config),
        socket_tasks: TaskTracker::new(),
        reservations: Reservations::default(),
        timeout: Duration::from_millis(config.request_timeout_ms),
        write_timeout: Duration::from_millis(config.socket_write_timeout_ms),
        finish_timeout: grace.saturating_sub(FAREWELL).max(grace / 2),
        finish_by: OnceLock::new(),
        app,
    };
    // Clients that take the address apart put a slash behind it.
    let mut router = Router::new()
        .route("/graphql", any(graphql::handle))
        .route("/graphql/", any(graphql::handle))
        .route("/graphql/ws", get(socket::upgrade))
        .route("/graphql/ws/", get(socket::upgrade))
        .route("/graphql/stream", any(stream::handle))
        .route("/graphql/stream/", any(stream::handle))
        .merge(health::routes());
    if development {
        router = router.merge(playground::routes());
    }
    let http = Http(Arc::new(shared));
    (router.with_state(http.clone()), http)
}
