//! A pool of connections to one `PostgreSQL` database.
//!
//! `SeaORM`'s own pool asks the server after each use whether the connection is still good, which costs as
//! much as a read by key does. Here one that lay idle is asked before its next use, and one that was
//! given back in the middle of a statement or a transaction is closed.

use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, PoolError, QueueMode};
use sea_orm::DbErr;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Error};

use super::connection::{Connection, Generation, Manager, failed};
use super::replication::ReplicationState;

/// The SQLSTATE of a server that takes no more connections.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// The connections to one endpoint. They are opened when they are needed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool {
    pool: managed::Pool<Manager>,
    generation: Generation,
}

impl Pool {
    /// `wait` is how long to wait for a connection to be opened, or given back by somebody else.
    pub fn new(url: &SecretString, size: usize, wait: Duration) -> Result<Self, DbErr> {
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
        Ok(Self { pool, generation: Generation::default() })
    }

    /// Where the server stands, if it answers, through a connection that nobody else uses: `probe_connection`, or a new
    /// one where that is gone. A server that is full answers, without saying more.
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
        match self.pool.manager().options.connect().await {
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
        self.pool.retain(|_, _| false);
    }

    /// Closes the idle connections, and lends no more.
    pub fn close(&self) {
        self.pool.close();
    }

    /// Lends a connection.
    pub async fn get(&self) -> Result<Connection, PoolError<Error>> {
        Ok(Connection::new(self.pool.get().await?, self.generation.clone()))
    }
}
