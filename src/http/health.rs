//! What orchestrators, Prometheus and verifiers of tokens ask for.

use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use super::reply;
use super::state::Http;
use crate::telemetry;

/// An orchestrator waits some seconds at most.
const READINESS_TIMEOUT: Duration = Duration::from_secs(3);

pub fn routes() -> Router<Http> {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .layer(from_fn(finish))
}

/// The keys that verify access tokens.
pub fn keys() -> Router<Http> {
    Router::new().route("/.well-known/jwks.json", get(jwks)).layer(from_fn(finish))
}

/// The process runs.
async fn health() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// The process can serve: every part that it can't do without is up, and it is not stopping.
async fn ready(State(http): State<Http>) -> Response {
    if http.app.stopping().is_cancelled() {
        return unready(json!({"status": "stopping"}));
    }
    let Ok(parts) = tokio::time::timeout(READINESS_TIMEOUT, http.app.readiness()).await else {
        return unready(json!({"status": "unknown"}));
    };
    let serves = parts.iter().all(|part| part.healthy || !part.required);
    let whole = parts.iter().all(|part| part.healthy);
    let status = match (serves, whole) {
        (true, true) => "ready",
        (true, false) => "degraded",
        (false, _) => "unready",
    };
    let parts: Vec<_> = parts
        .into_iter()
        .map(|part| json!({"name": part.name, "healthy": part.healthy, "required": part.required, "detail": part.detail}))
        .collect();
    let body = json!({"status": status, "parts": parts});
    if serves { Json(body).into_response() } else { unready(body) }
}

fn unready(body: serde_json::Value) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

async fn metrics(State(http): State<Http>) -> Response {
    http.app.record_state();
    let content_type = (CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    ([content_type], telemetry::metrics().render()).into_response()
}

async fn jwks(State(http): State<Http>) -> Response {
    let cached = (CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    ([cached], Json(http.app.jwks())).into_response()
}

/// Headers and counting, for routes that are not called often.
pub async fn finish(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = reply::request_id(request.headers());
    let path = known_path(request.uri().path());
    let mut response = telemetry::within_request(id.clone(), next.run(request)).await;
    let headers = response.headers_mut();
    reply::mark(headers, &id);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    headers.insert("x-frame-options", HeaderValue::from_static("DENY"));
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    telemetry::metrics().request(path, response.status().as_u16(), started.elapsed());
    response
}

/// A label of the metrics, of which there must be few.
fn known_path(path: &str) -> &'static str {
    ["/health", "/ready", "/metrics", "/.well-known/jwks.json"]
        .into_iter()
        .find(|known| *known == path)
        .unwrap_or("/playground")
}
