//! Redis.

use std::path::PathBuf;

use clap::Args;

use super::tls::TlsFiles;
use super::value::ServerUrl;

#[derive(Debug, Clone, Args)]
pub struct RedisConfig {
    /// Redis, for feeds: redis:// or, with TLS, rediss://
    #[arg(long, env = "REDIS_URL", default_value = "redis://127.0.0.1:6379", hide_env_values = true)]
    pub redis_url: ServerUrl,

    /// The authorities of Redis's certificate (PEM); absent, those of the system
    #[arg(long, env = "REDIS_CA_FILE")]
    pub redis_ca_file: Option<PathBuf>,

    /// The client certificate for Redis (PEM)
    #[arg(long, env = "REDIS_CERT_FILE")]
    pub redis_cert_file: Option<PathBuf>,

    /// The key of the client certificate for Redis (PEM)
    #[arg(long, env = "REDIS_KEY_FILE")]
    pub redis_key_file: Option<PathBuf>,
}

impl RedisConfig {
    /// The files for TLS.
    pub fn tls(&self) -> TlsFiles {
        let [ca, cert, key] = [&self.redis_ca_file, &self.redis_cert_file, &self.redis_key_file];
        TlsFiles { ca: ca.clone(), cert: cert.clone(), key: key.clone() }
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        let url = self.redis_url.expose();
        anyhow::ensure!(
            !url.scheme().contains("sentinel"),
            "REDIS_URL: Redis Sentinel is not supported; give the address that always leads to the primary"
        );
        self.redis_url.check("REDIS_URL", &["redis", "rediss"])?;
        let tls = self.tls();
        anyhow::ensure!(
            url.scheme() == "rediss" || tls.is_empty(),
            "REDIS_URL: must be a rediss:// URL where REDIS_CA_FILE, REDIS_CERT_FILE or REDIS_KEY_FILE is set"
        );
        tls.check(["REDIS_CA_FILE", "REDIS_CERT_FILE", "REDIS_KEY_FILE"])
    }
}
