//! Accepts connections, and lets them end in good order.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::{Http, build};
use crate::app::App;
use crate::telemetry;

/// How long a connection may take to send its next headers. Longer than proxies keep idle
/// connections, so that none sends a request into a connection that is being closed.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// Bounds headers, and what a connection holds of a body that is read slowly.
const MAX_BUFFER: usize = 64 * 1024;
/// Connections beside sockets and running requests: those that are idle.
const IDLE_CONNECTIONS: usize = 4096;
/// After an accept that failed, as it does when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Ends the connection that a request came on, in the middle of an answer that is not read.
#[derive(Clone, Default)]
pub struct Cut(CancellationToken);

impl Cut {
    pub fn now(&self) {
        self.0.cancel();
    }
}

/// Serves until the app stops; then finishes running requests and closes sockets, within the grace
/// period of the configuration.
pub async fn serve(app: App, listener: TcpListener) -> anyhow::Result<()> {
    let (router, http) = build(app.clone());
    let stopping = app.stopping().clone();
    let upkeep = stopping.clone();
    app.tasks().spawn(async move { upkeep.run_until_cancelled_owned(telemetry::metrics().upkeep()).await });
    tracing::info!(address = %listener.local_addr()?, "listening");
    let connections = TaskTracker::new();
    let accepting = accept(&listener, &router, &http, &connections);
    stopping.run_until_cancelled(accepting).await;
    drop(listener);
    connections.close();
    http.socket_tasks.close();
    let grace = Duration::from_millis(app.config().http.shutdown_grace_ms);
    let ended = async { tokio::join!(connections.wait(), http.socket_tasks.wait()) };
    if tokio::time::timeout(grace, ended).await.is_err() {
        let left = connections.len() + http.socket_tasks.len();
        tracing::warn!(left, "the grace period is over; connections are cut");
    }
    Ok(())
}

async fn accept(listener: &TcpListener, router: &Router, http: &Http, connections: &TaskTracker) {
    let config = &http.app.config().http;
    let most =
        config.max_sockets.saturating_add(config.max_concurrent_requests).saturating_add(IDLE_CONNECTIONS);
    let places = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            telemetry::metrics().overload();
            continue;
        };
        let connection = serve_connection(stream, peer, router.clone(), http.app.stopping().clone());
        connections.spawn(async move {
            connection.await;
            drop(place);
        });
    }
}

async fn serve_connection(stream: TcpStream, peer: SocketAddr, router: Router, stopping: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended before it began");
        return;
    }
    let cut = Cut::default();
    let given = cut.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(given.clone());
        respond(router.clone(), request.map(Body::new))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let serving = async {
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    match cut.0.run_until_cancelled(serving).await {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, %peer, "a connection ended early"),
        None => tracing::debug!(%peer, "a connection was cut: its client did not read"),
    }
}

async fn respond(router: Router, request: Request) -> Result<Response, Infallible> {
    router.oneshot(request).await
}
