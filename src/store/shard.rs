//! One shard's servers.

mod connection;
mod endpoint;
mod failure;
pub mod map;
mod pool;
mod query_times;
mod replica;
mod replication;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use sea_orm::ConnectionTrait;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::config::ShardConfig;
use crate::model::wal::AtLeast;
use crate::model::{Error, Result, ServerFault};
pub use connection::Connection;
use endpoint::Endpoint;
pub use failure::{failure, is_not_migrated, is_orphan, is_retryable, lock_conflict, meaning};
pub use map::{SlotMap, Slots};
pub use query_times::TABLES;
pub use replica::ReplicaStatus;
use replica::WalHistory;
use replication::ReplicationState;

/// As logs and metrics name a shard's primary.
const PRIMARY: &str = "primary";
/// Reads that may be a little old, by the server that answered.
const LAGGING_READS: &str = "fowergram_shard_lagging_reads_total";

/// A shard as this process reaches it.
#[derive(Debug)]
pub struct Shard {
    pub name: String,
    /// Host, port and database of the primary.
    pub address: String,
    primary: Endpoint,
    replicas: Vec<Endpoint>,
    /// Recent positions of the primary's write-ahead log.
    history: WalHistory,
    /// The maximum lag of a replica that is read from.
    max_lag: Duration,
    /// Round robin over the replicas.
    turn: AtomicUsize,
    /// The address that bypasses any pooler, for migrations and locks.
    pub direct_url: SecretString,
    pub timeout: Duration,
}

impl Shard {
    /// Does not connect yet.
    pub fn open(name: &str, config: &ShardConfig) -> Result<Self> {
        let find = |endpoints: &[crate::config::Endpoint]| {
            endpoints.iter().find(|endpoint| endpoint.shard == name).map(|endpoint| endpoint.url.clone())
        };
        let url = find(&config.shards).ok_or(Error::ShardUnavailable)?;
        let replicas = config.shard_replicas.iter().filter(|endpoint| endpoint.shard == name).enumerate();
        // A replica's lag must be known before it is used.
        let replicas = replicas.map(|(index, endpoint)| {
            Endpoint::new(name, format!("replica-{}", index + 1), &endpoint.url, false, config)
        });
        Ok(Self {
            name: name.to_owned(),
            address: address(&url),
            replicas: replicas.collect::<Result<_>>()?,
            primary: Endpoint::new(name, PRIMARY.to_owned(), &url, true, config)?,
            history: WalHistory::default(),
            max_lag: Duration::from_millis(config.shard_replica_max_lag_ms),
            turn: AtomicUsize::new(0),
            direct_url: find(&config.shard_direct).unwrap_or(url),
            timeout: Duration::from_millis(config.shard_statement_timeout_ms),
        })
    }

    /// Runs `work` on the primary with a connection of its own, bounded in time.
    pub async fn ask<T>(&self, work: impl AsyncFnOnce(Connection) -> Result<T>) -> Result<T> {
        self.primary.ask(work).await
    }

    /// Sets the gauges of the connections to its servers.
    pub fn record_pools(&self) {
        self.primary.record_pool();
        self.replicas.iter().for_each(Endpoint::record_pool);
    }

    /// Whether there are servers that follow the primary.
    pub fn has_replica(&self) -> bool {
        !self.replicas.is_empty()
    }

    /// Runs `work` on a replica that has replayed enough, round robin, or on the primary if there is none.
    /// `work` is run again on the primary if a replica fails.
    pub async fn ask_any<T, F, R>(&self, at_least: AtLeast, work: F) -> Result<T>
    where
        F: Fn(Connection) -> R,
        R: Future<Output = Result<T>>,
    {
        if let Some(replica) = self.next_replica(at_least) {
            match replica.ask(async |connection| ask_replica(connection, at_least, &work).await).await {
                Ok(Some(value)) => {
                    replica.count(LAGGING_READS);
                    return Ok(value);
                }
                Ok(None) | Err(Error::ShardUnavailable) => {}
                // Replay can cancel a query that reads a row it needs (40001).
                Err(error) if is_retryable(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let value = self.primary.ask(async |connection| work(connection).await).await?;
        self.primary.count(LAGGING_READS);
        Ok(value)
    }

    /// The replicas, as this process sees them.
    pub fn replicas(&self) -> Vec<ReplicaStatus> {
        let state = |replica: &Endpoint| {
            let lag = replica.state().and_then(|state| self.history.age(state, Instant::now()));
            let fault = replica.fault().filter(|_| !replica.is_up());
            ReplicaStatus { name: replica.role().to_owned(), healthy: replica.is_up(), lag, fault }
        };
        self.replicas.iter().map(state).collect()
    }

    fn next_replica(&self, at_least: AtLeast) -> Option<&Endpoint> {
        if at_least == AtLeast::Primary {
            return None;
        }
        let up: Vec<&Endpoint> = self.replicas.iter().filter(|replica| replica.is_up()).collect();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        up.get(turn.checked_rem(up.len())?).copied()
    }

    /// Probes the servers until dropped.
    pub async fn watch(&self) {
        let primary = self.primary.watch(|sent, state| {
            if state.standby {
                return Some(ServerFault::Standby);
            }
            self.history.note(sent, state.position);
            None
        });
        let replicas = self.replicas.iter().map(|replica| replica.watch(|_, at| self.judge(replica, at)));
        join(primary, join_all(replicas)).await;
    }

    /// Why a replica in this state can't be used, if so.
    fn judge(&self, replica: &Endpoint, state: ReplicationState) -> Option<ServerFault> {
        let age = self.history.age(state, Instant::now());
        replica.gauge("fowergram_replica_lag_seconds", age.map_or(f64::INFINITY, |age| age.as_secs_f64()));
        match age {
            _ if !state.standby => Some(ServerFault::NotStandby),
            None => Some(ServerFault::UnknownPosition),
            Some(age) if age > self.max_lag => Some(ServerFault::TooFarBehind),
            Some(_) => None,
        }
    }

    /// Whether the primary answers.
    pub async fn ping(&self) -> Result<()> {
        self.ask(async |connection| connection.execute_unprepared("select 1").await.map_err(failure)).await?;
        Ok(())
    }

    /// Why the primary can't be used, as far as this process knows.
    pub fn fault(&self) -> ServerFault {
        self.primary.fault().unwrap_or(ServerFault::Unreachable)
    }

    /// Closes idle connections and stops lending new ones.
    pub fn close(&self) {
        self.primary.close();
        self.replicas.iter().for_each(Endpoint::close);
    }
}

/// Runs `work` on a replica; `None` if it has not replayed enough. Replay only moves forward, so the check
/// holds for the reads after it.
async fn ask_replica<T, F, R>(connection: Connection, at_least: AtLeast, work: &F) -> Result<Option<T>>
where
    F: Fn(Connection) -> R,
    R: Future<Output = Result<T>>,
{
    if let AtLeast::Position(needed) = at_least {
        let state = connection.replication_state().await.map_err(failure)?;
        let replayed = state.position.timeline == needed.timeline && state.position >= needed;
        if !state.standby || !replayed {
            return Ok(None);
        }
    }
    work(connection).await.map(Some)
}

/// The address without user and password.
fn address(url: &SecretString) -> String {
    Url::parse(url.expose_secret()).map_or_else(
        |_| String::new(),
        |url| {
            let host = url.host_str().unwrap_or("localhost");
            format!("{host}:{}{}", url.port().unwrap_or(5432), url.path())
        },
    )
}
