//! One shard's servers; and what the errors of `PostgreSQL` mean.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use sea_orm::{ConnectionTrait, DbErr, RuntimeErr, SqlxError};
use secrecy::{ExposeSecret, SecretString};
use sqlx::error::DatabaseError;
use url::Url;

use super::connection::{Connection, Standing, is_stale};
use super::endpoint::Endpoint;
use super::replica::{Following, Progress};
use crate::config::ShardConfig;
use crate::model::wal::AtLeast;
use crate::model::{Error, Result};

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
    /// How far the primary's log went lately.
    progress: Progress,
    /// How far a replica may be behind.
    max_lag: Duration,
    /// Which replica is asked next.
    turn: AtomicUsize,
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
        let replicas = config.shard_replicas.iter().filter(|endpoint| endpoint.shard == name).enumerate();
        // Of a replica it must first be known how far it is behind.
        let replicas = replicas.map(|(index, endpoint)| {
            Endpoint::new(name, format!("replica-{}", index + 1), &endpoint.url, false, config)
        });
        Ok(Self {
            name: name.to_owned(),
            address: address(&url),
            replicas: replicas.collect::<Result<_>>()?,
            primary: Endpoint::new(name, PRIMARY.to_owned(), &url, true, config)?,
            progress: Progress::default(),
            max_lag: Duration::from_millis(config.shard_replica_max_lag_ms),
            turn: AtomicUsize::new(0),
            direct_url: find(&config.shard_direct).unwrap_or(url),
            timeout: Duration::from_millis(config.shard_statement_timeout_ms),
        })
    }

    /// Asks the primary through a connection of its own; bounded in time.
    pub async fn ask<T>(&self, work: impl AsyncFnOnce(Connection) -> Result<T>) -> Result<T> {
        self.primary.ask(work).await
    }

    /// Whether there are servers that follow the primary.
    pub fn has_replica(&self) -> bool {
        !self.replicas.is_empty()
    }

    /// Asks a replica that has what is needed, each in its turn, or the primary where none has. `work` is
    /// run again on the primary where a replica fails it.
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
                // Replay may need a row that the query looks at, and cancels it (40001).
                Err(error) if is_retryable(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let value = self.primary.ask(async |connection| work(connection).await).await?;
        self.primary.count(LAGGING_READS);
        Ok(value)
    }

    /// The replicas, as this process sees them.
    pub fn replicas(&self) -> Vec<Following> {
        let state = |replica: &Endpoint| {
            let lag = replica.standing().and_then(|standing| self.progress.age(standing, Instant::now()));
            Following { name: replica.role().to_owned(), healthy: replica.is_up(), lag }
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

    /// Finds out, again and again, which of the servers are of use. Ends never: the caller drops it.
    pub async fn watch(&self) {
        let primary = self.primary.watch(|sent, standing| {
            if standing.standby {
                return Some("is a standby");
            }
            self.progress.note(sent, standing.position);
            None
        });
        let replicas = self.replicas.iter().map(|replica| replica.watch(|_, at| self.judge(replica, at)));
        join(primary, join_all(replicas)).await;
    }

    /// Why a replica that stands there is of no use, if so.
    fn judge(&self, replica: &Endpoint, standing: Standing) -> Option<&'static str> {
        let age = self.progress.age(standing, Instant::now());
        replica.gauge("fowergram_replica_lag_seconds", age.map_or(f64::INFINITY, |age| age.as_secs_f64()));
        match age {
            _ if !standing.standby => Some("is not a standby"),
            None => Some("has replayed nothing that the primary is known to have had"),
            Some(age) if age > self.max_lag => Some("is too far behind"),
            Some(_) => None,
        }
    }

    /// Whether the primary answers.
    pub async fn ping(&self) -> Result<()> {
        self.ask(async |connection| connection.execute_unprepared("select 1").await.map_err(failure)).await?;
        Ok(())
    }

    /// Closes the connections that nobody uses, and lends no more.
    pub fn close(&self) {
        self.primary.close();
        self.replicas.iter().for_each(Endpoint::close);
    }
}

/// The answer of a replica; `None` where it has not yet replayed what is needed. Replay only goes forward,
/// so that what is read after the question has it.
async fn ask_replica<T, F, R>(connection: Connection, at_least: AtLeast, work: &F) -> Result<Option<T>>
where
    F: Fn(Connection) -> R,
    R: Future<Output = Result<T>>,
{
    if let AtLeast::Position(needed) = at_least {
        let standing = connection.standing().await.map_err(failure)?;
        let replayed = standing.position.timeline == needed.timeline && standing.position >= needed;
        if !standing.standby || !replayed {
            return Ok(None);
        }
    }
    work(connection).await.map(Some)
}

/// Where a server is, without the user and the password.
fn address(url: &SecretString) -> String {
    Url::parse(url.expose_secret()).map_or_else(
        |_| String::new(),
        |url| {
            let host = url.host_str().unwrap_or("localhost");
            format!("{host}:{}{}", url.port().unwrap_or(5432), url.path())
        },
    )
}

/// What `PostgreSQL` reported.
fn report(error: &DbErr) -> Option<&dyn DatabaseError> {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause))
        | DbErr::Conn(RuntimeErr::SqlxError(cause)) => cause.as_database_error(),
        _ => None,
    }
}

/// The SQLSTATE of an error that `PostgreSQL` reported.
fn sqlstate(error: &DbErr) -> Option<String> {
    report(error)?.code().map(std::borrow::Cow::into_owned)
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

/// True for a serialization failure, a deadlock, or a statement that has to be prepared anew: the same transaction may
/// succeed when run again.
pub fn is_retryable(error: &Error) -> bool {
    let Some(error) = cause(error) else { return false };
    report(error).is_some_and(is_stale)
        || sqlstate(error).is_some_and(|state| matches!(&*state, "40001" | "40P01"))
}

/// True where a row refers to one that is gone.
pub fn is_orphan(error: &Error) -> bool {
    reported(error).is_some_and(|state| state == "23503")
}

/// The SQLSTATE behind an error that [`failure`] has made.
fn reported(error: &Error) -> Option<String> {
    cause(error).and_then(sqlstate)
}

/// The error of the driver behind one that [`failure`] has made.
fn cause(error: &Error) -> Option<&DbErr> {
    let Error::Internal(cause) = error else { return None };
    cause.downcast_ref::<DbErr>()
}
