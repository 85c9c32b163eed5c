//! A process that serves or works: where it listens, and when it stops.

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::config::Host;

/// A taken port is one line that says which.
pub(super) async fn listen(host: &Host, port: u16, setting: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind((host.as_str(), port)).await.with_context(|| {
        format!("can't listen on {host}:{port}; stop what uses it, or set HOST and {setting}")
    })
}

/// Stops the process at SIGINT or SIGTERM.
pub(super) fn stop_on_signal(app: &App) {
    let stopping = app.stopping().clone();
    app.tasks().spawn(async move {
        if stopping.clone().run_until_cancelled(signalled()).await.is_some() {
            tracing::info!("stopping");
            stopping.cancel();
        }
    });
}

/// Ends at SIGINT (Ctrl-C) or SIGTERM.
async fn signalled() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::error!("signals can't be heard");
        return CancellationToken::new().cancelled().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
