//! HTTP: the GraphQL endpoint and its sockets, health, metrics and the Playground.

mod auth;
mod body;
mod cors;
mod graphql;
mod health;
mod negotiate;
mod playground;
mod reply;
mod server;
mod socket;
mod upload;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::config::Environment;
use cors::Cors;

pub use server::serve;

/// What handlers share.
#[derive(Clone)]
struct Http(Arc<Shared>);

struct Shared {
    app: App,
    cors: Cors,
    /// Each running request holds one; nobody waits for one.
    requests: Semaphore,
    /// Each socket holds one.
    sockets: Arc<Semaphore>,
    /// The sockets' tasks, for a stopping process to wait for.
    socket_tasks: TaskTracker,
    timeout: Duration,
}

impl Deref for Http {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
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
        timeout: Duration::from_millis(config.request_timeout_ms),
        app,
    };
    let mut router = Router::new()
        .route("/graphql", any(graphql::handle))
        .route("/graphql/ws", get(socket::upgrade))
        .merge(health::routes());
    if development {
        router = router.merge(playground::routes());
    }
    let http = Http(Arc::new(shared));
    (router.with_state(http.clone()), http)
}
