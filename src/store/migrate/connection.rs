//! The way to one shard for migrations: past any pooler, under a lock.

use std::time::Duration;

use anyhow::Context;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection};
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::time::{Instant, sleep, timeout};

use crate::config::Endpoint;

/// `pg_advisory_lock`'s key: "fwgm" in ASCII.
const LOCK: i64 = 0x6677_676d;
/// How often a lock that is held is asked for again.
const LOCK_POLL: Duration = Duration::from_millis(250);
/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// As the server's lists of sessions name a run.
const APPLICATION: &str = "fowergram-migrate";

/// The session of a migration: it may take as long as it has to. Only a table that somebody holds is not
/// waited for: behind who waits for it, everybody waits.
const SESSION: &str = "set statement_timeout = 0; set idle_in_transaction_session_timeout = 0;
    set lock_timeout = '5s'";

/// Two sessions: one that works, and one that holds the lock meanwhile.
pub struct MigrationConnection {
    shard: String,
    /// Whom the processes connect as.
    pub role: String,
    pub work: DatabaseConnection,
    lock: PgConnection,
    wait: Duration,
}

impl MigrationConnection {
    /// `served` is the address that processes use, where it is another one.
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

    /// Does something that nobody else does on this shard at the same time.
    pub async fn locked<T>(
        &mut self,
        tell: &(dyn Fn(&str) + Sync),
        step: impl AsyncFnOnce(&DatabaseConnection) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.take_lock(tell).await?;
        let done = step(&self.work).await;
        // Should this fail, the end of the session gives the lock back.
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
                // Gone meanwhile, where there is none.
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

    /// Since when the session of who holds the lock is there, and its process id on the server.
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
        // What was to be done is done; the server notices by itself where this fails.
        self.work.close().await.ok();
        self.lock.close().await.ok();
    }
}

#[expect(clippy::disallowed_methods, reason = "a migration has a connection of its own, past the pools")]
async fn work(endpoint: &Endpoint) -> anyhow::Result<DatabaseConnection> {
    let mut options = ConnectOptions::new(endpoint.url.expose_secret());
    // One session from the beginning to the end, because its settings are its own.
    options.max_connections(1).connect_timeout(CONNECT).idle_timeout(None).max_lifetime(None);
    options.sqlx_logging(false);
    let connection = Database::connect(options).await?;
    connection.execute_unprepared(SESSION).await?;
    Ok(connection)
}
