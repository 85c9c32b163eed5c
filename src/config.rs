//! Every setting: an environment variable, a flag of the same name and a line in `.env.example`
//! (a test compares). Checked once, at the start.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use secrecy::SecretString;
use url::Url;

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
pub struct HttpConfig {
    /// The address to listen on
    #[arg(long, env = "HOST", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,

    /// The port to listen on; 0 takes a free one
    #[arg(long, env = "PORT", default_value_t = 8000)]
    pub port: u16,

    /// Origins that browsers may call from, separated by commas; empty: none in production, any in development
    #[arg(long, env = "CORS_ORIGINS", value_delimiter = ',')]
    pub cors_origins: Vec<String>,

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

    /// The folder with the built Playground page; absent, a page is served that loads it from a CDN
    #[arg(long, env = "PLAYGROUND_DIR", default_value = "playground/dist")]
    pub playground_dir: PathBuf,
}

impl HttpConfig {
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// The names in `CORS_HEADERS`.
    pub fn more_cors_headers(&self) -> impl Iterator<Item = &str> {
        self.cors_headers.iter().map(|name| name.trim()).filter(|name| !name.is_empty())
    }
}

#[derive(Debug, Clone, Args)]
pub struct ShardConfig {
    /// The shards' primaries, `name=postgres://…`, separated by commas
    #[arg(long, env = "SHARDS", value_delimiter = ',', required = true, hide_env_values = true)]
    pub shards: Vec<Endpoint>,

    /// Streaming replicas, `name-of-shard=postgres://…`, separated by commas
    #[arg(long, env = "SHARD_REPLICAS", value_delimiter = ',', hide_env_values = true)]
    pub shard_replicas: Vec<Endpoint>,

    /// How far a replica may be behind to be read from, in milliseconds
    #[arg(long, env = "SHARD_REPLICA_MAX_LAG_MS", default_value_t = 10_000)]
    pub shard_replica_max_lag_ms: u64,

    /// Direct addresses of shards that are reached through a pooler, for migrations and locks
    #[arg(long, env = "SHARD_DIRECT", value_delimiter = ',', hide_env_values = true)]
    pub shard_direct: Vec<Endpoint>,

    /// The most connections to one endpoint
    #[arg(long, env = "SHARD_POOL_SIZE", default_value_t = 8)]
    pub shard_pool_size: u32,

    /// How long to wait for a connection to a shard, in milliseconds
    #[arg(long, env = "SHARD_CONNECT_TIMEOUT_MS", default_value_t = 1_500)]
    pub shard_connect_timeout_ms: u64,

    /// How long one statement or transaction on a shard may take, in milliseconds
    #[arg(long, env = "SHARD_STATEMENT_TIMEOUT_MS", default_value_t = 5_000)]
    pub shard_statement_timeout_ms: u64,
}

impl ShardConfig {
    /// How long it is remembered what somebody wrote: until all replicas that are read from have it. How
    /// far they are is known some seconds late, by the time that their probes may take.
    pub fn written_for(&self) -> Duration {
        let probes = Duration::from_millis(4 * self.shard_connect_timeout_ms) + Duration::from_secs(4);
        Duration::from_millis(self.shard_replica_max_lag_ms) + probes
    }
}

#[derive(Debug, Clone, Args)]
pub struct ServiceConfig {
    /// Put before every Redis key and NATS subject, so that several systems can share servers
    #[arg(long, env = "NAMESPACE", default_value = "fowergram")]
    pub namespace: Namespace,

    /// Redis, for feeds
    #[arg(long, env = "REDIS_URL", default_value = "redis://127.0.0.1:6379", hide_env_values = true)]
    pub redis_url: Url,

    /// NATS with `JetStream`, for events and live updates
    #[arg(long, env = "NATS_URL", default_value = "nats://127.0.0.1:4222", hide_env_values = true)]
    pub nats_url: Url,

    /// The S3 server that holds the images
    #[arg(long, env = "S3_ENDPOINT", default_value = "http://127.0.0.1:9000")]
    pub s3_endpoint: Url,

    /// The S3 server as clients reach it, where that is another address
    #[arg(long, env = "S3_PUBLIC_ENDPOINT")]
    pub s3_public_endpoint: Option<Url>,

    /// The bucket
    #[arg(long, env = "S3_BUCKET", default_value = "fowergram")]
    pub s3_bucket: String,

    /// The region in signatures
    #[arg(long, env = "S3_REGION", default_value = "us-east-1")]
    pub s3_region: String,

    /// The access key
    #[arg(long, env = "S3_ACCESS_KEY_ID", default_value = "")]
    pub s3_access_key_id: String,

    /// The secret key
    #[arg(long, env = "S3_SECRET_ACCESS_KEY", default_value = "", hide_env_values = true)]
    pub s3_secret_access_key: SecretString,

    /// A CDN in front of the bucket; absent, image addresses are presigned
    #[arg(long, env = "CDN_URL")]
    pub cdn_url: Option<Url>,
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

/// A shard's name and an address of it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub shard: String,
    pub url: SecretString,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (shard, url) = text.split_once('=').ok_or("expected name=postgres://…")?;
        if shard.is_empty() || !shard.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err("a shard's name has letters, digits and hyphens".to_owned());
        }
        match Url::parse(url) {
            Ok(parsed) if matches!(parsed.scheme(), "postgres" | "postgresql") => {
                Ok(Self { shard: shard.to_owned(), url: url.to_owned().into() })
            }
            _ => Err(format!("the address of shard {shard} is not a postgres:// URL")),
        }
    }
}

/// A prefix that is safe in Redis keys, NATS subjects and names of `JetStream` streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace(String);

impl Namespace {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Namespace {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if text.is_empty() || text.len() > 32 || !text.bytes().all(good) {
            return Err("1 to 32 letters, digits, hyphens and underscores");
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Display for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Config {
    /// What one setting can't say about another. One line, naming the setting.
    pub fn check(&self) -> anyhow::Result<()> {
        let names: Vec<&str> = self.shards.shards.iter().map(|endpoint| endpoint.shard.as_str()).collect();
        for (index, name) in names.iter().enumerate() {
            anyhow::ensure!(!names[..index].contains(name), "SHARDS: the shard {name} is named twice");
        }
        for (setting, endpoints) in
            [("SHARD_REPLICAS", &self.shards.shard_replicas), ("SHARD_DIRECT", &self.shards.shard_direct)]
        {
            for endpoint in endpoints {
                anyhow::ensure!(
                    names.contains(&endpoint.shard.as_str()),
                    "{setting}: there is no shard {} in SHARDS",
                    endpoint.shard
                );
            }
        }
        // Browsers don't take `*` for Authorization.
        let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let is_name = |name: &str| name != "*" && name.bytes().all(of_name);
        anyhow::ensure!(
            self.http.more_cors_headers().all(is_name),
            "CORS_HEADERS: must be names of headers, separated by commas; * is not one"
        );
        anyhow::ensure!(
            matches!(self.services.redis_url.scheme(), "redis" | "rediss"),
            "REDIS_URL: not a redis:// URL"
        );
        anyhow::ensure!(
            matches!(self.services.nats_url.scheme(), "nats" | "tls"),
            "NATS_URL: not a nats:// URL"
        );
        for (setting, value) in [
            ("SHARD_POOL_SIZE", u64::from(self.shards.shard_pool_size)),
            ("MAX_CONCURRENT_REQUESTS", self.http.max_concurrent_requests as u64),
            ("MAX_SOCKETS", self.http.max_sockets as u64),
            ("MAX_SOCKETS_PER_USER", self.http.max_sockets_per_user as u64),
            ("SOCKET_WRITE_TIMEOUT_MS", self.http.socket_write_timeout_ms),
            ("ACCESS_TOKEN_SECONDS", u64::from(self.accounts.access_token_seconds)),
            ("SESSION_DAYS", u64::from(self.accounts.session_days)),
            ("PASSWORD_HASHERS", self.accounts.password_hashers as u64),
            ("IMAGE_WORKERS", self.media.image_workers as u64),
            ("REQUEST_TIMEOUT_MS", self.http.request_timeout_ms),
            ("SHARD_STATEMENT_TIMEOUT_MS", self.shards.shard_statement_timeout_ms),
            ("SHARD_CONNECT_TIMEOUT_MS", self.shards.shard_connect_timeout_ms),
        ] {
            anyhow::ensure!(value > 0, "{setting}: must be at least 1");
        }
        Ok(())
    }
}
