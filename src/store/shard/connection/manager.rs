//! Opens connections, and pings idle ones before they are used again.

use std::time::Duration;

use deadpool::managed::{self, Metrics, RecycleResult};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection as _, Error};

/// How long a connection may be idle without being pinged before use.
const TRUSTED: Duration = Duration::from_secs(1);

/// Manages the connections to one server.
#[derive(Debug)]
pub struct Manager {
    pub options: PgConnectOptions,
}

impl managed::Manager for Manager {
    type Type = PgConnection;
    type Error = Error;

    async fn create(&self) -> Result<PgConnection, Error> {
        // Boxed: the future that opens a connection has 40 kB.
        Box::pin(self.options.connect()).await
    }

    async fn recycle(&self, pg: &mut PgConnection, metrics: &Metrics) -> RecycleResult<Error> {
        if metrics.last_used() > TRUSTED {
            pg.ping().await?;
        }
        Ok(())
    }
}
