//! One server: its connections, and whether it is available.
//!
//! A circuit breaker with its own probe. While a server does not answer the probe, requests for it fail at
//! once, running requests are released, and no request is needed to find out that it is back.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool::managed::PoolError;
use metrics::Histogram;
use secrecy::SecretString;
use sqlx::postgres::PgConnection;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::connection::Connection;
use super::failure::{failure, fault_of_connecting};
use super::pool::{Pool, PoolSize};
use super::replication::ReplicationState;
use crate::config::ShardConfig;
use crate::model::{Error, Result, ServerFault};

/// The probe interval of an available server.
const PERIOD: Duration = Duration::from_secs(1);
/// The probe interval of an unavailable server.
const RETRY: Duration = Duration::from_millis(250);
/// How many probes in a row may time out. A single refused probe is enough.
const MISSES: u32 = 2;

#[derive(Debug)]
pub struct Endpoint {
    /// Shard and role, as in logs and metrics.
    shard: String,
    role: String,
    pool: Pool,
    /// How long requests wait for a connection.
    waits: Histogram,
    /// Time limit of a probe, and for getting a connection.
    wait: Duration,
    /// Time limit of all work with one connection.
    timeout: Duration,
    up: watch::Sender<bool>,
    /// Why it is unavailable, or why the last connection could not be made.
    fault: Mutex<Option<ServerFault>>,
    /// The result of the last probe.
    last_state: Mutex<Option<ReplicationState>>,
    recheck: Notify,
}

impl Endpoint {
    /// Connections are opened on demand, so that a process can start and use the other servers while this one
    /// is down. `up` is its availability before the first probe.
    pub fn new(
        shard: &str,
        role: String,
        url: &SecretString,
        up: bool,
        config: &ShardConfig,
    ) -> Result<Self> {
        let wait = Duration::from_millis(config.shard_connect_timeout_ms);
        let pool = Pool::new(shard, url, config.shard_pool_size as usize, wait).map_err(failure)?;
        Ok(Self {
            waits: metrics::histogram!("fowergram_pool_wait_seconds", "shard" => shard.to_owned(), "endpoint" => role.clone()),
            shard: shard.to_owned(),
            role,
            pool,
            wait,
            timeout: Duration::from_millis(config.shard_statement_timeout_ms),
            up: watch::Sender::new(up),
            fault: Mutex::default(),
            last_state: Mutex::default(),
            recheck: Notify::new(),
        })
    }

    pub fn role(&self) -> &str {
        &self.role
    }

    /// Whether it is available.
    pub fn is_up(&self) -> bool {
        *self.up.borrow()
    }

    /// Why it can't be used, as far as this process knows.
    pub fn fault(&self) -> Option<ServerFault> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The replication state at its last successful probe.
    pub fn state(&self) -> Option<ReplicationState> {
        *self.last_state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` with a connection of its own. The time limit includes getting the connection.
    pub async fn ask<T>(&self, work: impl AsyncFnOnce(Connection) -> Result<T>) -> Result<T> {
        let mut up = self.up.subscribe();
        if !*up.borrow_and_update() {
            return Err(Error::ShardUnavailable);
        }
        // Boxed to keep the futures of callers small.
        let asked = Box::pin(async { work(self.connect().await?).await });
        let result = tokio::select! {
            biased;
            result = timeout(self.timeout, asked) => result.unwrap_or_else(|_| {
                tracing::warn!(shard = %self.shard, endpoint = %self.role, "no answer within the time-out");
                Err(Error::ShardUnavailable)
            }),
            // Can't fail: the sender is in `self`.
            _ = up.wait_for(|up| !up) => Err(Error::ShardUnavailable),
        };
        if matches!(result, Err(Error::ShardUnavailable)) {
            self.count("fowergram_shard_errors_total");
            self.recheck.notify_one();
        }
        result
    }

    /// Adds one to a counter of this server.
    pub fn count(&self, counter: &'static str) {
        metrics::counter!(counter, "shard" => self.shard.clone(), "endpoint" => self.role.clone())
            .increment(1);
    }

    /// Sets a gauge of this server.
    pub fn gauge(&self, gauge: &'static str, value: f64) {
        metrics::gauge!(gauge, "shard" => self.shard.clone(), "endpoint" => self.role.clone()).set(value);
    }

    /// Sets the gauges of its connections.
    pub fn record_pool(&self) {
        let PoolSize { idle, used, most } = self.pool.size();
        let set = |state: &'static str, count: usize| {
            metrics::gauge!(
                "fowergram_pool_connections",
                "shard" => self.shard.clone(), "endpoint" => self.role.clone(), "state" => state
            )
            .set(number(count));
        };
        set("idle", idle);
        set("used", used);
        self.gauge("fowergram_pool_max_connections", number(most));
    }

    async fn connect(&self) -> Result<Connection> {
        let start = Instant::now();
        let connection = self.pool.get().await;
        self.waits.record(start.elapsed());
        connection.map_err(|error| {
            tracing::debug!(shard = %self.shard, endpoint = %self.role, cause = %error, "no connection");
            if let PoolError::Backend(cause) = &error {
                self.remember(Some(fault_of_connecting(cause)));
            }
            Error::ShardUnavailable
        })
    }

    /// Probes the server until dropped, and at once when a request failed. `judge` gets the time of the probe
    /// and the server's state, and returns why the server can't be used, if so.
    pub async fn watch(&self, judge: impl Fn(Instant, ReplicationState) -> Option<ServerFault>) {
        let mut probe_connection: Option<PgConnection> = None;
        let mut misses = 0;
        self.gauge("fowergram_shard_up", if self.is_up() { 1.0 } else { 0.0 });
        loop {
            let sent = Instant::now();
            match timeout(self.wait, self.pool.probe(&mut probe_connection)).await {
                Ok(Ok(state)) => {
                    misses = 0;
                    *self.last_state.lock().unwrap_or_else(PoisonError::into_inner) = state;
                    self.set_fault(state.and_then(|state| judge(sent, state)));
                }
                Ok(Err(cause)) => {
                    tracing::debug!(shard = %self.shard, endpoint = %self.role, %cause, "a probe failed");
                    self.set_fault(Some(fault_of_connecting(&cause)));
                }
                Err(_) => {
                    misses += 1;
                    if misses >= MISSES {
                        self.set_fault(Some(ServerFault::TooSlow));
                    }
                }
            }
            let period = if self.is_up() { PERIOD } else { RETRY };
            tokio::select! {
                () = sleep(period) => {}
                () = self.recheck.notified() => {}
            }
        }
    }

    /// Sets the availability; `fault` is why it is unavailable.
    fn set_fault(&self, fault: Option<ServerFault>) {
        let up = fault.is_none();
        self.gauge("fowergram_shard_up", if up { 1.0 } else { 0.0 });
        let is_news = self.remember(fault);
        let changed = self.up.send_if_modified(|before| std::mem::replace(before, up) != up);
        match fault {
            None if changed => tracing::info!(shard = %self.shard, endpoint = %self.role, "available again"),
            Some(fault) if changed || is_news => {
                tracing::warn!(shard = %self.shard, endpoint = %self.role, %fault, "unavailable");
                self.pool.forget_idle();
            }
            _ => {}
        }
    }

    /// Returns whether this is another fault than before.
    fn remember(&self, fault: Option<ServerFault>) -> bool {
        let before = &mut *self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(before, fault) != fault
    }

    /// Closes idle connections and stops lending new ones.
    pub fn close(&self) {
        self.pool.close();
    }
}

/// A count, as gauges take it.
fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
