//! A connection to one shard for migrations: past any pooler, under an advisory lock.

use std::time::Duration;

use anyhow::Context;
use backon::{ExponentialBuilder, Retryable as _};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbErr};
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::time::{Instant, sleep, timeout};

use crate::config::Endpoint;
use crate::store::shard::lock_conflict;

/// `pg_advisory_lock`'s key: "fwgm" in ASCII.
const LOCK: i64 = 0x6677_676d;
/// The poll interval for a lock that is held.
const LOCK_POLL: Duration = Duration::from_millis(250);
/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// The application name in `pg_stat_activity`.
const APPLICATION: &str = "fowergram-migrate";

/// The settings of a migration's session. A migration may take as long as it needs, but must not wait long
/// for a table lock: everybody else would queue behind it. It has to wait longer than `deadlock_timeout` (1 s):
/// only then does the server end an autovacuum that is in the way. See [`retry`].
const SESSION: &str = "set statement_timeout = 0; set idle_in_transaction_session_timeout = 0;
    set lock_timeout = '1500ms'";

/// The pauses between attempts to get a table lock grow from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Two sessions: one runs the migration, the other holds the lock.
pub struct MigrationConnection {
    shard: String,
    /// The role that the processes connect as.
    pub role: String,
    pub work: DatabaseConnection,
    lock: PgConnection,
    /// How long to wait for another run, and for table locks.
    pub wait: Duration,
}

impl MigrationConnection {
    /// `served` is the address that the processes use, if it differs.
    pub async fn open(direct: &Endpoint, served: &Endpoint, wait: Duration) -> anyhow::Result<Self> {
        let unreachable = || format!("shard {} can't be reached", direct.shard);
        let options: PgConnectOptions = direct.url.expose_secret().parse()?;
        let role = served.url.expose_secret().parse::<PgConnectOptions>()?.get_username().to_owned();
        let options = options.application_name(APPLICATION).disable_statement_logging();
        let lock = timeout(CONNECT, options.connect()).await.with_context(unreachable)?;
        let lock = lock.with_context(unreachable)?;
        let work = work(direct).await.with_context(unreachable)?;
        Ok(Self { shard: direct.shard.clone(), role, work, lock, wait })
    }

    /// Runs a step while holding the lock.
    pub async fn locked<T>(
        &mut self,
        tell: &(dyn Fn(&str) + Sync),
        step: impl AsyncFnOnce(&DatabaseConnection) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.take_lock(tell).await?;
        let done = step(&self.work).await;
        // If this fails, the lock is released when the session ends.
        sqlx::query("select pg_advisory_unlock($1)").bind(LOCK).execute(&mut self.lock).await?;
        done
    }

    async fn take_lock(&mut self, tell: &(dyn Fn(&str) + Sync)) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.wait;
        let mut told = false;
        loop {
            let sql = "select pg_try_advisory_lock($1)";
            if sqlx::query_scalar(sql).bind(LOCK).fetch_one(&mut self.lock).await? {
                return Ok(());
            }
            if !told || Instant::now() >= deadline {
                // `None` if it was released meanwhile.
                if let Some(holder) = self.holder().await? {
                    let message = format!("another migration is running on {} since {holder}", self.shard);
                    anyhow::ensure!(Instant::now() < deadline, "{message}; run again when it has ended");
                    tell(&format!("{message}; waiting for it"));
                    told = true;
                }
            }
            sleep(LOCK_POLL).await;
        }
    }

    /// When the session that holds the lock began, and its process id on the server.
    async fn holder(&mut self) -> sqlx::Result<Option<String>> {
        let sql =
            "select to_char(backend_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC (process '
                || pid || ' of the server)'
            from pg_locks join pg_stat_activity using (pid)
            where locktype = 'advisory' and granted and classid = 0 and objid = $1::oid
                and database = (select oid from pg_database where datname = current_database())";
        let row = sqlx::query(sql).bind(LOCK).fetch_optional(&mut self.lock).await?;
        row.map(|row| row.try_get(0)).transpose()
    }

    pub async fn close(self) {
        // The work is done; if this fails, the server notices by itself.
        self.work.close().await.ok();
        self.lock.close().await.ok();
    }
}

/// Runs a transaction, and again if it failed for a lock, until the pauses add up to `wait`. It
/// holds no locks during a pause.
pub async fn retry<F>(
    wait: Duration,
    tell: impl Fn(&str),
    transaction: impl FnMut() -> F,
) -> Result<(), DbErr>
where
    F: Future<Output = Result<(), DbErr>>,
{
    let pauses = ExponentialBuilder::new()
        .with_min_delay(PAUSES.0)
        .with_max_delay(PAUSES.1)
        .without_max_times()
        .with_total_delay(Some(wait))
        .with_jitter();
    transaction
        .retry(pauses)
        .when(|error| lock_conflict(error).is_some())
        .notify(|error, pause| {
            let cause = lock_conflict(error).unwrap_or_default();
            tell(&format!("{cause}; trying again in {:.1} s", pause.as_secs_f32()));
        })
        .await
}

#[expect(clippy::disallowed_methods, reason = "a migration has a connection of its own, past the pools")]
async fn work(endpoint: &Endpoint) -> anyhow::Result<DatabaseConnection> {
    let mut options = ConnectOptions::new(endpoint.url.expose_secret());
    // A single session, because its settings belong to it.
    options.max_connections(1).connect_timeout(CONNECT).idle_timeout(None).max_lifetime(None);
    options.sqlx_logging(false);
    let connection = Database::connect(options).await?;
    connection.execute_unprepared(SESSION).await?;
    Ok(connection)
}
