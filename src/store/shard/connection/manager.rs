//! Opens connections, and asks those that lay idle whether they are still good.

use std::time::Duration;

use deadpool::managed::{self, Metrics, RecycleResult};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection as _, Error};

/// How long a connection may have been idle to be lent without a question.
const TRUSTED: Duration = Duration::from_secs(1);

/// Of the connections to one server.
#[derive(Debug)]
pub struct Manager {
    pub options: PgConnectOptions,
}

impl managed::Manager for Manager {
    type Type = PgConnection;
    type Error = Error;

    async fn create(&self) -> Result<PgConnection, Error> {
        // Boxed: what opens a connection has 40 kB, which each future that reads would have to hold.
        Box::pin(self.options.connect()).await
    }

    async fn recycle(&self, pg: &mut PgConnection, metrics: &Metrics) -> RecycleResult<Error> {
        if metrics.last_used() > TRUSTED {
            pg.ping().await?;
        }
        Ok(())
    }
}
