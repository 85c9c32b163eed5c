//! One server as this process reaches it: its connections, and whether it answers.
//!
//! A circuit breaker with a probe of its own. What does not answer the probe is not asked until it does:
//! requests for it fail at once, those that wait for it are let go, and none of them has to find out that
//! it is back.

use std::time::Duration;

use secrecy::SecretString;
use sqlx::postgres::PgConnection;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::connection::{Connection, Pool};
use super::shard::failure;
use crate::config::ShardConfig;
use crate::domain::{Error, Result};

/// How often a server that answers is probed.
const PERIOD: Duration = Duration::from_secs(1);
/// How often one that does not is.
const RETRY: Duration = Duration::from_millis(250);
/// How many probes in a row may get no answer in time. One that is refused is enough.
const MISSES: u32 = 2;

#[derive(Debug)]
pub struct Endpoint {
    /// As logs and metrics name it.
    name: String,
    pool: Pool,
    /// Of a probe, and of the wait for a connection.
    wait: Duration,
    /// Of all that is done with one connection.
    timeout: Duration,
    answers: watch::Sender<bool>,
    doubted: Notify,
}

impl Endpoint {
    /// Connections are opened when they are needed, so that a process starts, and serves from the other
    /// servers, while this one is down.
    pub fn new(name: &str, url: &SecretString, config: &ShardConfig) -> Result<Self> {
        let wait = Duration::from_millis(config.shard_connect_timeout_ms);
        let pool = Pool::new(url, config.shard_pool_size as usize, wait).map_err(failure)?;
        Ok(Self {
            name: name.to_owned(),
            pool,
            wait,
            timeout: Duration::from_millis(config.shard_statement_timeout_ms),
            answers: watch::Sender::new(true),
            doubted: Notify::new(),
        })
    }

    /// Asks through a connection of its own. Bounded in time, the wait for the connection included.
    pub async fn ask<T>(&self, work: impl AsyncFnOnce(Connection) -> Result<T>) -> Result<T> {
        let mut answers = self.answers.subscribe();
        if !*answers.borrow_and_update() {
            return Err(Error::ShardUnavailable);
        }
        // Boxed, so that the futures that ask stay small.
        let asked = Box::pin(async { work(self.connect().await?).await });
        let result = tokio::select! {
            biased;
            result = timeout(self.timeout, asked) => result.unwrap_or_else(|_| {
                tracing::warn!(shard = %self.name, "no answer within the time-out");
                Err(Error::ShardUnavailable)
            }),
            // The sender is in `self`, so this is no error.
            _ = answers.wait_for(|answers| !answers) => Err(Error::ShardUnavailable),
        };
        if matches!(result, Err(Error::ShardUnavailable)) {
            metrics::counter!("fowergram_shard_errors_total", "shard" => self.name.clone()).increment(1);
            self.doubted.notify_one();
        }
        result
    }

    async fn connect(&self) -> Result<Connection> {
        self.pool.get().await.map_err(|error| {
            tracing::debug!(shard = %self.name, cause = %error, "no connection");
            Error::ShardUnavailable
        })
    }

    /// Probes the server, again and again, and at once when a request got no answer. Ends never: the
    /// caller drops it.
    pub async fn watch(&self) {
        let mut link: Option<PgConnection> = None;
        let mut misses = 0;
        self.tell(true);
        loop {
            let period = if *self.answers.borrow() { PERIOD } else { RETRY };
            tokio::select! {
                () = sleep(period) => {}
                () = self.doubted.notified() => {}
            }
            match timeout(self.wait, self.pool.probe(&mut link)).await {
                Ok(Ok(())) => {
                    misses = 0;
                    self.tell(true);
                }
                Ok(Err(cause)) => {
                    tracing::debug!(shard = %self.name, %cause, "a probe failed");
                    self.tell(false);
                }
                Err(_) => {
                    misses += 1;
                    if misses >= MISSES {
                        self.tell(false);
                    }
                }
            }
        }
    }

    fn tell(&self, answers: bool) {
        metrics::gauge!("fowergram_shard_up", "shard" => self.name.clone()).set(if answers {
            1.0
        } else {
            0.0
        });
        let changed = self.answers.send_if_modified(|before| std::mem::replace(before, answers) != answers);
        match (changed, answers) {
            (true, true) => tracing::info!(shard = %self.name, "answers again"),
            (true, false) => {
                tracing::warn!(shard = %self.name, "does not answer");
                self.pool.forget_idle();
            }
            _ => {}
        }
    }

    /// Closes the idle connections, and lends no more.
    pub fn close(&self) {
        self.pool.close();
    }
}
