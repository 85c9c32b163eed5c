//! PLACEHOLDER.
use clap::Parser;
#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    config: fowergram::config::Config,
}
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Cli::parse().config;
    fowergram::telemetry::init(&config.log)?;
    let app = fowergram::app::App::new(config)?;
    let listener = tokio::net::TcpListener::bind(app.config().http.address()).await?;
    let stop = app.clone();
    app.tasks().spawn(async move {
        let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
        let mut usr = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::user_defined1()).unwrap();
        tokio::select! { _ = term.recv() => { stop.stopping().cancel(); return; }, _ = usr.recv() => stop.revoke_all() }
        term.recv().await;
        stop.stopping().cancel();
    });
    fowergram::http::serve(app, listener).await
}
