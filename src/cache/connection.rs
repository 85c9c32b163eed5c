//! How to connect to Redis, and why it can't be used.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ClientTlsConfig, ErrorKind, RedisError, ServerErrorKind, TlsCertificates};

use crate::config::{RedisConfig, TlsFiles};
use crate::model::{Error, ServerFault};

/// Connects when it is first used, so that a process starts while Redis is down.
pub(super) fn connect(config: &RedisConfig) -> anyhow::Result<ConnectionManager> {
    let settings = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(Duration::from_millis(500)))
        .set_response_timeout(Some(Duration::from_secs(1)))
        .set_max_delay(Duration::from_millis(500))
        .set_number_of_retries(1)
        .set_concurrency_limit(4096);
    Ok(ConnectionManager::new_lazy_with_config(client(config)?, settings)?)
}

fn client(config: &RedisConfig) -> anyhow::Result<Client> {
    let url = config.redis_url.expose().as_str();
    let TlsFiles { ca, cert, key } = config.tls();
    if ca.is_none() && cert.is_none() {
        return Ok(Client::open(url)?);
    }
    let client_tls = match cert.zip(key) {
        Some((cert, key)) => {
            Some(ClientTlsConfig { client_cert: std::fs::read(cert)?, client_key: std::fs::read(key)? })
        }
        None => None,
    };
    let root_cert = ca.map(std::fs::read).transpose()?;
    Ok(Client::build_with_tls(url, TlsCertificates { client_tls, root_cert })?)
}

/// Whether Redis answers and is of a kind that can hold the feeds: scripts span the feeds of several readers, which
/// a cluster refuses.
pub(super) async fn ready(connection: &ConnectionManager) -> Result<(), ServerFault> {
    let mut connection = connection.clone();
    redis::cmd("PING").query_async::<()>(&mut connection).await.map_err(|error| fault(&error))?;
    let info = match redis::cmd("INFO").arg("server").query_async::<String>(&mut connection).await {
        Ok(info) => info,
        Err(error) => match fault(&error) {
            // A user may be without the right to ask.
            ServerFault::MissingPermission => return Ok(()),
            fault => return Err(fault),
        },
    };
    match info.lines().find_map(|line| line.strip_prefix("redis_mode:")) {
        Some("cluster") => Err(ServerFault::RedisCluster),
        Some("sentinel") => Err(ServerFault::RedisSentinel),
        _ => Ok(()),
    }
}

fn fault(error: &RedisError) -> ServerFault {
    match (error.kind(), error.code()) {
        (ErrorKind::AuthenticationFailed, _) | (_, Some("NOAUTH" | "WRONGPASS")) => {
            ServerFault::WrongCredentials
        }
        (ErrorKind::Server(ServerErrorKind::NoPerm), _) => ServerFault::MissingPermission,
        _ if error.is_timeout() => ServerFault::TooSlow,
        _ => ServerFault::of_tls(error).unwrap_or(ServerFault::Unreachable),
    }
}

/// Redis that can't be asked makes feeds slower, never wrong; callers decide what that means.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` gives the error away")]
pub(super) fn failure(error: RedisError) -> Error {
    metrics::counter!("fowergram_redis_errors_total").increment(1);
    tracing::debug!(cause = %error, "redis");
    Error::StorageUnavailable
}
