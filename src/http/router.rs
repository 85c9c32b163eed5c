//! All routes.

use axum::Router;
use axum::routing::{any, get};

use super::state::Http;
use super::{graphql, health, playground, socket, stream};
use crate::app::App;
use crate::config::Environment;

/// All routes. No layer lies over `/graphql`: what each request needs is done in its handler.
pub fn router(app: App) -> Router {
    build(app).0
}

/// The same, with what the handlers share.
pub fn build(app: App) -> (Router, Http) {
    let development = app.config().environment == Environment::Development;
    let http = Http::new(app, development);
    // Clients that take the address apart put a slash behind it.
    let mut router = Router::new()
        .route("/graphql", any(graphql::handle))
        .route("/graphql/", any(graphql::handle))
        .route("/graphql/ws", get(socket::upgrade))
        .route("/graphql/ws/", get(socket::upgrade))
        .merge(stream::routes(http.clone()))
        .merge(health::routes())
        .merge(health::keys());
    if development {
        router = router.merge(playground::routes());
    }
    (router.with_state(http.clone()), http)
}

/// What a worker shows of itself, with what the handlers share.
pub fn build_health(app: App) -> (Router, Http) {
    let http = Http::new(app, false);
    (health::routes().with_state(http.clone()), http)
}
