//! The servers beside the shards.

use std::str::FromStr;

use clap::Args;

use super::nats::NatsConfig;
use super::redis_server::RedisConfig;
use super::storage::StorageConfig;

#[derive(Debug, Clone, Args)]
pub struct ServiceConfig {
    /// Put before every Redis key and NATS subject, so that several systems can share servers
    #[arg(long, env = "NAMESPACE", default_value = "fowergram")]
    pub namespace: Namespace,

    #[command(flatten)]
    pub redis: RedisConfig,
    #[command(flatten)]
    pub nats: NatsConfig,
    #[command(flatten)]
    pub storage: StorageConfig,
}

impl ServiceConfig {
    /// Checks settings against each other, and the files that they name. An error is one line that names the
    /// setting.
    pub fn check(&self) -> anyhow::Result<()> {
        self.redis.check()?;
        self.nats.check()?;
        self.storage.check()
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
