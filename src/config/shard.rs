//! The shards, their replicas, and how long they are waited for.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use secrecy::SecretString;

use super::postgres::Address;
use super::tls::TlsFiles;

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
    /// Checks shard names and the files that addresses refer to. An error is one line that names the setting.
    pub fn check(&self) -> anyhow::Result<()> {
        let settings = [
            ("SHARDS", &self.shards),
            ("SHARD_REPLICAS", &self.shard_replicas),
            ("SHARD_DIRECT", &self.shard_direct),
        ];
        let names: Vec<&str> = self.shards.iter().map(|endpoint| endpoint.shard.as_str()).collect();
        for (index, name) in names.iter().enumerate() {
            anyhow::ensure!(!names[..index].contains(name), "SHARDS: the shard {name} is named twice");
        }
        for (setting, endpoints) in settings {
            for Endpoint { shard, tls, .. } in endpoints {
                anyhow::ensure!(
                    names.contains(&shard.as_str()),
                    "{setting}: there is no shard {shard} in SHARDS"
                );
                let of_shard = |parameter| format!("{setting}: {parameter} of shard {shard}");
                let [ca, cert, key] = ["sslrootcert", "sslcert", "sslkey"].map(of_shard);
                tls.check([&ca, &cert, &key])?;
            }
        }
        Ok(())
    }

    /// How long it is remembered what somebody wrote: until all replicas that are read from have it. How
    /// far they are is known some seconds late, by the time that their probes may take.
    pub fn written_for(&self) -> Duration {
        let probes = Duration::from_millis(4 * self.shard_connect_timeout_ms) + Duration::from_secs(4);
        Duration::from_millis(self.shard_replica_max_lag_ms) + probes
    }
}

/// A shard's name and an address of it.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub shard: String,
    pub url: SecretString,
    /// The files that the URL names.
    pub tls: TlsFiles,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (shard, url) = text.split_once('=').ok_or("expected name=postgres://…")?;
        if shard.is_empty() || !shard.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err("a shard's name has letters, digits and hyphens".to_owned());
        }
        match Address::parse(url) {
            Ok(Address { url, tls }) => {
                Ok(Self { shard: shard.to_owned(), url: String::from(url).into(), tls })
            }
            Err(why) => Err(format!("the address of shard {shard} can't be used: {why}")),
        }
    }
}
