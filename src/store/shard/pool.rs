//! A pool of connections to one `PostgreSQL` database.
//!
//! `SeaORM`'s own pool pings the server after each use, which costs as much as a read by key. This one pings
//! a connection only before it is used again after an idle time, and closes connections that were returned in
//! the middle of a statement or a transaction.

use std::sync::Arc;
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, PoolError, QueueMode};
use sea_orm::DbErr;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Error};

use super::connection::{Connection, Generation, Manager, failed};
use super::query_times::QueryTimes;
use super::replication::ReplicationState;

/// The SQLSTATE for too many connections.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// The connections to one endpoint, opened on demand. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool {
    connections: managed::Pool<Manager>,
    generation: Generation,
    times: Arc<QueryTimes>,
}

/// Connections of a pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolSize {
    pub idle: usize,
    pub used: usize,
    pub most: usize,
}

impl Pool {
    /// Of this shard. `wait` is the time limit for opening a connection, or for one to be returned.
    pub fn new(shard: &str, url: &SecretString, size: usize, wait: Duration) -> Result<Self, DbErr> {
        let options: PgConnectOptions = url.expose_secret().parse().map_err(failed)?;
        let manager = Manager { options: options.disable_statement_logging() };
        let pool = managed::Pool::builder(manager)
            .max_size(size)
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(wait))
            .create_timeout(Some(wait))
            .recycle_timeout(Some(wait))
            .build()
            .map_err(|error| DbErr::Custom(error.to_string()))?;
        Ok(Self {
            connections: pool,
            generation: Generation::default(),
            times: Arc::new(QueryTimes::new(shard)),
        })
    }

    /// Reads the replication state through a connection outside the pool: `probe_connection`, or a new one.
    /// `None` if the server answers but has no free connections.
    pub async fn probe(
        &self,
        probe_connection: &mut Option<PgConnection>,
    ) -> Result<Option<ReplicationState>, Error> {
        if let Some(mut known) = probe_connection.take()
            && let Ok(state) = ReplicationState::ask(&mut known).await
        {
            *probe_connection = Some(known);
            return Ok(Some(state));
        }
        match self.connections.manager().options.connect().await {
            Ok(mut new) => {
                let state = ReplicationState::ask(&mut new).await?;
                *probe_connection = Some(new);
                Ok(Some(state))
            }
            Err(Error::Database(report)) if report.code().as_deref() == Some(TOO_MANY_CONNECTIONS) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Closes the idle connections.
    pub fn forget_idle(&self) {
        self.connections.retain(|_, _| false);
    }

    /// Closes idle connections and stops lending new ones.
    pub fn close(&self) {
        self.connections.close();
    }

    /// How many connections are idle, are in use, and may be open.
    pub fn size(&self) -> PoolSize {
        let status = self.connections.status();
        let idle = status.available.min(status.size);
        PoolSize { idle, used: status.size - idle, most: status.max_size }
    }

    /// Lends a connection.
    pub async fn get(&self) -> Result<Connection, PoolError<Error>> {
        Ok(Connection::new(self.connections.get().await?, self.generation.clone(), Arc::clone(&self.times)))
    }
}
