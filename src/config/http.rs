//! What the HTTP server listens to, and its bounds.

use std::path::PathBuf;

use clap::Args;

use super::value::{Host, Origin};

#[derive(Debug, Clone, Args)]
pub struct HttpConfig {
    /// The address or host name to listen on
    #[arg(long, env = "HOST", default_value = "127.0.0.1")]
    pub host: Host,

    /// The port to listen on; 0 takes a free one
    #[arg(long, env = "PORT", default_value_t = 8000)]
    pub port: u16,

    /// The port on which a worker shows its health and its metrics; 0 takes a free one
    #[arg(long, env = "WORKER_PORT", default_value_t = 8001)]
    pub worker_port: u16,

    /// Origins that browsers may call from, separated by commas, or * for any; empty: none in production, any in development
    #[arg(long, env = "CORS_ORIGINS", value_delimiter = ',')]
    pub cors_origins: Vec<Origin>,

    /// Headers that pages of these origins may send beside those that clients commonly send, separated by commas
    #[arg(long, env = "CORS_HEADERS", value_delimiter = ',')]
    pub cors_headers: Vec<String>,

    /// The largest JSON request body, in bytes
    #[arg(long, env = "MAX_BODY_BYTES", default_value_t = 256 * 1024)]
    pub max_body_bytes: usize,

    /// How long a request may take, in milliseconds
    #[arg(long, env = "REQUEST_TIMEOUT_MS", default_value_t = 10_000)]
    pub request_timeout_ms: u64,

    /// How many requests run at once; more are told to come back
    #[arg(long, env = "MAX_CONCURRENT_REQUESTS", default_value_t = 1024)]
    pub max_concurrent_requests: usize,

    /// How many sockets and event streams may be open at once
    #[arg(long, env = "MAX_SOCKETS", default_value_t = 20_000)]
    pub max_sockets: usize,

    /// How many of them one user may have
    #[arg(long, env = "MAX_SOCKETS_PER_USER", default_value_t = 64)]
    pub max_sockets_per_user: usize,

    /// How long a client may take to read one event of a socket or event stream, in milliseconds
    #[arg(long, env = "SOCKET_WRITE_TIMEOUT_MS", default_value_t = 10_000)]
    pub socket_write_timeout_ms: u64,

    /// How long a stopping process waits for running requests, in milliseconds
    #[arg(long, env = "SHUTDOWN_GRACE_MS", default_value_t = 12_000)]
    pub shutdown_grace_ms: u64,

    /// Names of GraphQL operations that metrics count on their own, separated by commas; all others are counted as `other`
    #[arg(long, env = "OPERATION_NAMES", value_delimiter = ',')]
    pub operation_names: Vec<String>,

    /// The folder with the built Playground page; absent, a page is served that loads it from a CDN
    #[arg(long, env = "PLAYGROUND_DIR", default_value = "playground/dist")]
    pub playground_dir: PathBuf,
}

impl HttpConfig {
    /// The names in `CORS_HEADERS`.
    pub fn more_cors_headers(&self) -> impl Iterator<Item = &str> {
        trimmed(&self.cors_headers)
    }

    /// The names in `OPERATION_NAMES`.
    pub fn counted_operations(&self) -> impl Iterator<Item = &str> {
        trimmed(&self.operation_names)
    }
}

fn trimmed(names: &[String]) -> impl Iterator<Item = &str> {
    names.iter().map(|name| name.trim()).filter(|name| !name.is_empty())
}
