//! An S3 server in this process, its objects in files of the folder.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use axum::error_handling::HandleError;
use axum::http::StatusCode;
use axum::serve::ListenerExt;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio_util::sync::CancellationToken;
use tower_http::cors::{Any, CorsLayer};

use super::home::Home;
use super::{port, secret};

const ACCESS_KEY: &str = "fowergram";

/// An S3 server, path style, region `us-east-1`.
pub struct Storage {
    root: PathBuf,
    port: u16,
    secret_key: String,
    running: Mutex<Option<(CancellationToken, JoinHandle<()>)>>,
}

impl Storage {
    pub(super) fn new(home: &Home, port: u16) -> anyhow::Result<Self> {
        let root = home.folder("storage")?;
        let secret_key = secret::password(&home.dir().join("storage-secret"), None)?;
        Ok(Self { root, port, secret_key, running: Mutex::new(None) })
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn access_key(&self) -> &'static str {
        ACCESS_KEY
    }

    pub fn secret_key(&self) -> &str {
        &self.secret_key
    }

    /// Makes a bucket unless it is there. Names as S3 has them.
    pub fn create_bucket(&self, name: &str) -> anyhow::Result<()> {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        anyhow::ensure!(
            (3..=63).contains(&name.len()) && name.bytes().all(good),
            "{name} is not a bucket's name"
        );
        Ok(std::fs::create_dir_all(self.root.join(name))?)
    }

    /// Starts it again on its port.
    pub fn start(&self) -> anyhow::Result<()> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_none() {
            *running = Some(self.serve(port::fixed(self.port, "object storage")?)?);
        }
        Ok(())
    }

    pub(super) fn start_on(&self, listener: TcpListener) -> anyhow::Result<()> {
        let serving = self.serve(listener)?;
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(serving);
        Ok(())
    }

    /// Stops it; requests under way are cut.
    pub fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((stop, thread)) = running {
            stop.cancel();
            thread.join().ok();
        }
    }

    /// The server gets a thread and a runtime of its own: the caller's may be a test's and end before it.
    fn serve(&self, listener: TcpListener) -> anyhow::Result<(CancellationToken, JoinHandle<()>)> {
        let mut builder = S3ServiceBuilder::new(FileSystem::new(&self.root).map_err(|error| {
            anyhow::anyhow!("object storage can't use {}: {error:?}", self.root.display())
        })?);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, self.secret_key.as_str()));
        let service = HandleError::new(builder.build(), async |error: s3s::HttpError| {
            tracing::warn!(?error, "object storage");
            StatusCode::INTERNAL_SERVER_ERROR
        });
        // Browsers upload from the pages of other origins.
        let cors =
            CorsLayer::new().allow_origin(Any).allow_methods(Any).allow_headers(Any).expose_headers(Any);
        let app = axum::Router::new().fallback_service(service).layer(cors);
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::Builder::new().name("object storage".to_owned()).spawn(move || {
            let outcome = runtime.block_on(stopped.run_until_cancelled(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
                axum::serve(listener, app).await
            }));
            if let Some(Err(error)) = outcome {
                tracing::error!(%error, "object storage ended");
            }
        })?;
        Ok((stop, thread))
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.stop();
    }
}
