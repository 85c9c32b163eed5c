//! One shard's servers; and what the errors of `PostgreSQL` mean.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr, RuntimeErr, SqlxError};
use secrecy::SecretString;

use super::connection::Connection;
use super::endpoint::Endpoint;
use crate::config::ShardConfig;
use crate::domain::{Error, Result};

/// A shard as this process reaches it.
#[derive(Debug)]
pub struct Shard {
    pub name: String,
    primary: Endpoint,
    /// Past any pooler: for migrations and locks.
    pub direct_url: SecretString,
    pub timeout: Duration,
}

impl Shard {
    /// Connects to nothing yet.
    pub fn open(name: &str, config: &ShardConfig) -> Result<Self> {
        let find = |endpoints: &[crate::config::Endpoint]| {
            endpoints.iter().find(|endpoint| endpoint.shard == name).map(|endpoint| endpoint.url.clone())
        };
        let url = find(&config.shards).ok_or(Error::ShardUnavailable)?;
        Ok(Self {
            name: name.to_owned(),
            primary: Endpoint::new(name, &url, config)?,
            direct_url: find(&config.shard_direct).unwrap_or(url),
            timeout: Duration::from_millis(config.shard_statement_timeout_ms),
        })
    }

    /// Asks the primary through a connection of its own; bounded in time.
    pub async fn ask<T>(&self, work: impl AsyncFnOnce(Connection) -> Result<T>) -> Result<T> {
        self.primary.ask(work).await
    }

    /// Finds out, again and again, whether the primary answers. Ends never: the caller drops it.
    pub async fn watch(&self) {
        self.primary.watch().await;
    }

    /// Whether the primary answers.
    pub async fn ping(&self) -> Result<()> {
        self.ask(async |connection| connection.execute_unprepared("select 1").await.map_err(failure)).await?;
        Ok(())
    }

    /// Closes the connections that nobody uses, and lends no more.
    pub fn close(&self) {
        self.primary.close();
    }
}

/// The SQLSTATE of an error that `PostgreSQL` reported.
fn sqlstate(error: &DbErr) -> Option<String> {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause))
        | DbErr::Conn(RuntimeErr::SqlxError(cause)) => match &**cause {
            SqlxError::Database(report) => report.code().map(std::borrow::Cow::into_owned),
            _ => None,
        },
        _ => None,
    }
}

/// Whether the error says that the shard can't be talked to, rather than that it refused something:
/// class 08 (connection), 57P01–57P03 (shutting down, starting), 53300 (too many connections),
/// 25006 (read-only: a standby that was a primary).
fn is_unavailable(error: &DbErr) -> bool {
    if let Some(state) = sqlstate(error) {
        return state.starts_with("08")
            || matches!(state.as_str(), "57P01" | "57P02" | "57P03" | "53300" | "25006");
    }
    match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause)) => matches!(
            &**cause,
            SqlxError::Io(_)
                | SqlxError::Tls(_)
                | SqlxError::Protocol(_)
                | SqlxError::PoolTimedOut
                | SqlxError::PoolClosed
                | SqlxError::WorkerCrashed
        ),
        _ => false,
    }
}

/// What an error of the driver means to the rules.
pub fn failure(error: DbErr) -> Error {
    if is_unavailable(&error) {
        tracing::warn!(cause = %error, "shard unavailable");
    }
    meaning(error)
}

/// The same for who tells it in other words.
pub fn meaning(error: DbErr) -> Error {
    if is_unavailable(&error) { Error::ShardUnavailable } else { Error::internal(error) }
}

/// Whether there is no such table: the database was never migrated.
pub fn is_not_migrated(error: &DbErr) -> bool {
    sqlstate(error).as_deref() == Some("42P01")
}

/// True for a serialization failure or a deadlock: the same transaction may succeed when run again.
pub fn is_retryable(error: &Error) -> bool {
    reported(error).is_some_and(|state| matches!(state.as_str(), "40001" | "40P01"))
}

/// True where a row refers to one that is gone.
pub fn is_orphan(error: &Error) -> bool {
    reported(error).is_some_and(|state| state == "23503")
}

/// The SQLSTATE behind an error that [`failure`] has made.
fn reported(error: &Error) -> Option<String> {
    let Error::Internal(cause) = error else { return None };
    cause.downcast_ref::<DbErr>().and_then(sqlstate)
}
