//! Every setting: an environment variable, a flag of the same name and a line in `.env.example`
//! (a test compares). Checked once, at the start.

mod check;
pub mod env_file;
mod http;
mod nats;
mod postgres;
mod redis_server;
mod service;
mod shard;
mod storage;
mod tls;
mod trace;
mod value;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

pub use http::HttpConfig;
pub use nats::{NatsConfig, NatsLogin};
pub use redis_server::RedisConfig;
pub use service::{Namespace, ServiceConfig};
pub use shard::{Endpoint, ShardConfig};
pub use storage::{Addressing, StorageConfig};
pub use tls::TlsFiles;
pub use trace::TraceConfig;
pub use value::{CollectorUrl, Host, Origin, ServerUrl};

/// Where the process runs; development shows the Playground and lets any origin in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Environment {
    Development,
    Production,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Json,
    Text,
}

/// The whole configuration of a process.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Development shows the Playground; production does not
    #[arg(long, env = "ENVIRONMENT", value_enum, default_value = "production")]
    pub environment: Environment,

    #[command(flatten)]
    pub log: LogConfig,
    #[command(flatten)]
    pub traces: TraceConfig,
    #[command(flatten)]
    pub http: HttpConfig,
    #[command(flatten)]
    pub shards: ShardConfig,
    #[command(flatten)]
    pub services: ServiceConfig,
    #[command(flatten)]
    pub accounts: AccountConfig,
    #[command(flatten)]
    pub media: MediaConfig,
}

#[derive(Debug, Clone, Args)]
pub struct LogConfig {
    /// Which log lines are written, as in `info,fowergram=debug`
    #[arg(long, env = "LOG", default_value = "info")]
    pub log: String,

    /// How log lines look
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value = "json")]
    pub log_format: LogFormat,
}

#[derive(Debug, Clone, Args)]
pub struct AccountConfig {
    /// The file with the Ed25519 key that signs access tokens (PKCS#8 PEM; `openssl genpkey -algorithm ed25519`)
    #[arg(long, env = "TOKEN_KEY_FILE", required = true)]
    pub token_key_file: PathBuf,

    /// How long an access token is good, in seconds
    #[arg(long, env = "ACCESS_TOKEN_SECONDS", default_value_t = 900)]
    pub access_token_seconds: u32,

    /// How long a session lasts without use, in days
    #[arg(long, env = "SESSION_DAYS", default_value_t = 60)]
    pub session_days: u32,

    /// Usernames that nobody can take, nor one that looks like them, beside those as `admin` and `support` that nobody can take in any case
    #[arg(long, env = "RESERVED_USERNAMES", value_delimiter = ',')]
    pub reserved_usernames: Vec<String>,

    /// How many passwords are hashed at once; each takes 19 MiB for some 20 ms
    #[arg(long, env = "PASSWORD_HASHERS", default_value_t = 2)]
    pub password_hashers: usize,
}

#[derive(Debug, Clone, Args)]
pub struct MediaConfig {
    /// The largest image file, in bytes
    #[arg(long, env = "MAX_IMAGE_BYTES", default_value_t = 12 * 1024 * 1024)]
    pub max_image_bytes: u64,

    /// The most pixels in an image
    #[arg(long, env = "MAX_IMAGE_PIXELS", default_value_t = 40_000_000)]
    pub max_image_pixels: u64,

    /// How many images are worked on at once; each takes up to 12 bytes a pixel
    #[arg(long, env = "IMAGE_WORKERS", default_value_t = 1)]
    pub image_workers: usize,

    /// How long an unfinished or unreferenced upload is kept, in seconds
    #[arg(long, env = "UPLOAD_TTL_SECONDS", default_value_t = 86_400)]
    pub upload_ttl_seconds: u32,
}
