//! Accepts connections, and lets them end in good order.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::header::{CONNECTION, EXPECT};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use futures_util::FutureExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::cut::Cut;
use super::discard::Discarding;
use super::router::{build, build_health};
use super::state::Http;
use crate::app::App;
use crate::telemetry;

/// How long a connection may take to send its next headers. Longer than proxies keep idle
/// connections, so that none sends a request into a connection that is being closed.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// Bounds headers, and what a connection holds of a body that is read slowly.
const MAX_BUFFER: usize = 64 * 1024;
/// Connections beside sockets and running requests: those that are idle.
const IDLE_CONNECTIONS: usize = 4096;
/// How long open connections are listened to after the end of the listener. A request that was sent before
/// its client could know of the end is answered, and the answer says that the connection is closed.
const LINGER: Duration = Duration::from_millis(500);
/// After an accept that failed, as it does when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until the app stops. Then accepts nothing more, finishes what runs and closes sockets, within the
/// grace period of the configuration.
pub async fn serve(app: App, listener: TcpListener) -> anyhow::Result<()> {
    run(app.clone(), build(app), listener).await
}

/// Like [`serve`], for a worker: its health and metrics, and nothing else.
pub async fn serve_health(app: App, listener: TcpListener) -> anyhow::Result<()> {
    run(app.clone(), build_health(app), listener).await
}

async fn run(app: App, (router, http): (Router, Http), listener: TcpListener) -> anyhow::Result<()> {
    let stopping = app.stopping().clone();
    tracing::info!(address = %listener.local_addr()?, "listening");
    let acceptor = Acceptor::new(router, &http);
    stopping.run_until_cancelled(acceptor.accept(&listener)).await;
    acceptor.accept_backlog(listener);
    http.socket_tasks.close();
    let grace = Duration::from_millis(app.config().http.shutdown_grace_ms);
    let ended = async { tokio::join!(acceptor.connections.wait(), http.socket_tasks.wait()) };
    if timeout(grace, ended).await.is_err() {
        let left = acceptor.connections.len() + http.socket_tasks.len();
        tracing::warn!(left, "the grace period is over; connections are cut");
    }
    Ok(())
}

/// Takes connections in.
struct Acceptor {
    router: Router,
    connections: TaskTracker,
    places: Arc<Semaphore>,
    closing: Closing,
}

/// How connections end: open ones are closed with their next response.
#[derive(Clone)]
struct Closing {
    /// The listener is closed, so that a client that is told to reconnect does not come back here.
    began: CancellationToken,
    linger: Duration,
}

impl Acceptor {
    fn new(router: Router, http: &Http) -> Self {
        let config = &http.app.config().http;
        let most = config
            .max_sockets
            .saturating_add(config.max_concurrent_requests)
            .saturating_add(IDLE_CONNECTIONS)
            .min(Semaphore::MAX_PERMITS);
        let linger = LINGER.min(Duration::from_millis(config.shutdown_grace_ms / 2));
        Self {
            router,
            connections: TaskTracker::new(),
            places: Arc::new(Semaphore::new(most)),
            closing: Closing { began: CancellationToken::new(), linger },
        }
    }

    async fn accept(&self, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok(accepted) => self.take(accepted),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Takes those in that the system has accepted already, who would see their connection reset.
    fn accept_backlog(&self, listener: TcpListener) {
        while let Some(Ok(accepted)) = listener.accept().now_or_never() {
            self.take(accepted);
        }
        drop(listener);
        self.connections.close();
        self.closing.began.cancel();
    }

    fn take(&self, (stream, peer): (TcpStream, SocketAddr)) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return telemetry::metrics().overload();
        };
        let connection = serve_connection(stream, peer, self.router.clone(), self.closing.clone());
        self.connections.spawn(async move {
            connection.await;
            drop(place);
        });
    }
}

async fn serve_connection(stream: TcpStream, peer: SocketAddr, router: Router, closing: Closing) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended before it began");
        return;
    }
    let cut = Cut::default();
    let given = cut.clone();
    let Closing { began, linger } = closing;
    let ending = began.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(given.clone());
        respond(router.clone(), request, ending.clone())
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let idled = async {
        began.cancelled().await;
        sleep(linger).await;
    };
    let serving = async {
        tokio::select! {
            ended = connection.as_mut() => ended,
            () = idled => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    };
    match cut.run_until_cut(serving).await {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, %peer, "a connection ended early"),
        None => tracing::debug!(%peer, "a connection was cut: its client did not read"),
    }
}

async fn respond(
    router: Router,
    request: Request<Incoming>,
    ending: CancellationToken,
) -> Result<Response, Infallible> {
    // A client that waits for a go-ahead sends nothing after another answer.
    let waits = request.headers().contains_key(EXPECT);
    let request = request
        .map(|body| if waits { Body::new(body) } else { Body::new(Discarding::new(body, ending.clone())) });
    let mut response = router.oneshot(request).await?;
    if ending.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}
