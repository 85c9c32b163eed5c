//! Redis, NATS and the object storage.

use std::str::FromStr;

use clap::Args;
use secrecy::SecretString;
use url::Url;

use super::value::server_url;

#[derive(Debug, Clone, Args)]
pub struct ServiceConfig {
    /// Put before every Redis key and NATS subject, so that several systems can share servers
    #[arg(long, env = "NAMESPACE", default_value = "fowergram")]
    pub namespace: Namespace,

    /// Redis, for feeds
    #[arg(long, env = "REDIS_URL", default_value = "redis://127.0.0.1:6379", value_parser = server_url, hide_env_values = true)]
    pub redis_url: Url,

    /// NATS with `JetStream`, for events and live updates
    #[arg(long, env = "NATS_URL", default_value = "nats://127.0.0.1:4222", value_parser = server_url, hide_env_values = true)]
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
