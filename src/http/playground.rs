//! The Playground, GraphiQL: in development only.

use std::path::{Component, Path, PathBuf};

use axum::Router;
use axum::extract::{Path as Segments, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::from_fn;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::get;

use super::health::finish;
use super::state::Http;

/// For when the page was not built: it comes from a CDN.
const FROM_CDN: &str = include_str!("playground.html");
const CDN_POLICY: &str = "default-src 'self' https://esm.sh; script-src 'self' https://esm.sh 'unsafe-inline' \
    'unsafe-eval' blob: data:; worker-src blob: https://esm.sh; style-src 'self' https://esm.sh 'unsafe-inline'; \
    font-src 'self' https://esm.sh data:; img-src * data:; connect-src 'self' ws: wss: https://esm.sh";
const BUILT_POLICY: &str = "default-src 'self'; script-src 'self' 'unsafe-eval'; worker-src 'self' blob:; \
    style-src 'self' 'unsafe-inline'; font-src 'self' data:; img-src * data:; connect-src 'self' ws: wss:";

pub fn routes() -> Router<Http> {
    Router::new()
        .route("/", get(async || Redirect::temporary("/playground")))
        .route("/playground", get(page))
        .route("/playground/", get(page))
        .route("/playground/{*path}", get(file))
        .layer(from_fn(finish))
}

async fn page(State(http): State<Http>) -> Response {
    let index = http.app.config().http.playground_dir.join("index.html");
    match tokio::fs::read_to_string(index).await {
        Ok(page) => {
            ([(CONTENT_SECURITY_POLICY, HeaderValue::from_static(BUILT_POLICY))], Html(page)).into_response()
        }
        Err(_) => ([(CONTENT_SECURITY_POLICY, HeaderValue::from_static(CDN_POLICY))], Html(FROM_CDN))
            .into_response(),
    }
}

async fn file(State(http): State<Http>, Segments(path): Segments<String>) -> Response {
    let Some(path) = inside(&http.app.config().http.playground_dir, &path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match tokio::fs::read(&path).await {
        Ok(bytes) => ([(CONTENT_TYPE, HeaderValue::from_static(content_type(&path)))], bytes).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The path in this folder, if it does not lead out of it.
fn inside(folder: &Path, path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    path.components().all(|part| matches!(part, Component::Normal(_))).then(|| folder.join(path))
}

fn content_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("ttf") => "font/ttf",
        Some("wasm") => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_folder() {
        let folder = Path::new("dist");
        assert_eq!(inside(folder, "assets/a.js"), Some(PathBuf::from("dist/assets/a.js")));
        for bad in ["../a", "assets/../../a", "/etc/passwd", "./../a"] {
            assert_eq!(inside(folder, bad), None, "{bad}");
        }
    }
}
