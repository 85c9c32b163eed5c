//! Connections to one `PostgreSQL` database, lent by a pool.
//!
//! `SeaORM`'s own pool asks the server after each use whether the connection is still good, which costs as
//! much as a read by key does. Here one that lay idle is asked before its next use, and one that was
//! given back in the middle of a statement or a transaction is closed.

mod prepared;

use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Object, PoolError, QueueMode, RecycleResult};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement};
use secrecy::{ExposeSecret, SecretString};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgQueryResult, PgRow, PgSeverity};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Error, Executor, Row};
use tokio::sync::Mutex;

use crate::model::wal::WalPosition;
pub use prepared::is_stale;
use prepared::{Generation, Query, in_generation, is_name_taken, prepared};

/// How long a connection may have been idle to be lent without a question.
const TRUSTED: Duration = Duration::from_secs(1);

/// The SQLSTATE of a server that takes no more connections.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// How often a statement is prepared anew and run again, because the server does not run it as it was prepared.
const MAX_PREPARES: u32 = 3;

/// What a server says of itself. A primary tells how far its log goes, a standby what it has replayed; the
/// timeline of a standby is that of its last restart point, which may be older and is never newer. One
/// row: standby, timeline, lsn.
const STANDING: &str = "select pg_is_in_recovery() as standby,
    case when pg_is_in_recovery() then (select timeline_id from pg_control_checkpoint())
        else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer end::bigint as timeline,
    (case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
        else pg_current_wal_insert_lsn() end - '0/0')::bigint as lsn";

/// Ends a transaction on a primary, and tells the same of it. Shorter, because each write waits for it.
const COMMIT: &str = "COMMIT; select false as standby,
    ('x' || left(pg_walfile_name(lsn), 8))::bit(32)::integer::bigint as timeline,
    (lsn - '0/0')::bigint as lsn from pg_current_wal_insert_lsn() as lsn";

/// Where a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// It follows another one.
    pub standby: bool,
    pub position: WalPosition,
}

/// The connections to one endpoint. They are opened when they are needed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pool {
    pool: managed::Pool<Manager>,
    generation: Generation,
}

#[derive(Debug)]
struct Manager {
    options: PgConnectOptions,
}

impl managed::Manager for Manager {
    type Type = PgConnection;
    type Error = Error;

    async fn create(&self) -> Result<PgConnection, Error> {
        // Boxed: what opens a connection has 40 kB, which each future that reads would have to hold.
        Box::pin(self.options.connect()).await
    }

    async fn recycle(&self, link: &mut PgConnection, metrics: &Metrics) -> RecycleResult<Error> {
        if metrics.last_used() > TRUSTED {
            link.ping().await?;
        }
        Ok(())
    }
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

    /// Where the server stands, if it answers, through a connection that nobody else uses: `link`, or a new
    /// one where that is gone. A server that is full answers, without saying more.
    pub async fn probe(&self, link: &mut Option<PgConnection>) -> Result<Option<Standing>, Error> {
        if let Some(mut known) = link.take()
            && let Ok(standing) = stands(&mut known).await
        {
            *link = Some(known);
            return Ok(Some(standing));
        }
        match self.pool.manager().options.connect().await {
            Ok(mut new) => {
                let standing = stands(&mut new).await?;
                *link = Some(new);
                Ok(Some(standing))
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
        let link = self.pool.get().await?;
        let held = Mutex::new(Held { link: Some(link), state: State::Ready });
        Ok(Connection { held, generation: self.generation.clone() })
    }
}

/// A connection for as long as somebody has it. Statements run one after the other.
#[derive(Debug)]
pub struct Connection {
    // Held while the server is waited for: the protocol takes one statement at a time, and `SeaORM` lends
    // connections as `&self`. Nobody else has this one, so nobody waits.
    held: Mutex<Held>,
    generation: Generation,
}

#[derive(Debug)]
struct Held {
    /// Taken out when it is closed, only.
    link: Option<Object<Manager>>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    InTransaction,
    /// A statement of the transaction was refused: it can be rolled back only.
    Refused,
    /// A statement is under way, or was when its caller stopped waiting.
    Busy,
    /// The server can't be talked to through it.
    Broken,
}

impl Connection {
    /// Begins a transaction, which ends with [`Connection::commit`] or [`Connection::rollback`], or, when
    /// the connection is dropped before, is rolled back by the server.
    pub async fn begin(&self) -> Result<(), DbErr> {
        self.control("BEGIN", State::InTransaction).await
    }

    /// Ends a transaction; an error where one of its statements was refused, also if that was not minded.
    pub async fn commit(&self) -> Result<(), DbErr> {
        self.check_unrefused().await?;
        self.control("COMMIT", State::Ready).await
    }

    /// The same; and up to where the log has it, in the same round trip.
    pub async fn commit_at(&self) -> Result<WalPosition, DbErr> {
        self.check_unrefused().await?;
        let rows = self.run(async |link, _| link.fetch_all(COMMIT).await).await?;
        self.held.lock().await.state = State::Ready;
        let [row] = rows.as_slice() else { return Err(failed(Error::RowNotFound)) };
        Ok(Standing::read(row).map_err(failed)?.position)
    }

    async fn check_unrefused(&self) -> Result<(), DbErr> {
        if self.held.lock().await.state == State::InTransaction {
            return Ok(());
        }
        Err(DbErr::Custom("a transaction with a refused statement can't be committed".into()))
    }

    /// Where the server stands at this moment.
    pub async fn standing(&self) -> Result<Standing, DbErr> {
        self.run(async |link, _| stands(link).await).await
    }

    pub async fn rollback(&self) -> Result<(), DbErr> {
        self.control("ROLLBACK", State::Ready).await
    }

    async fn control(&self, sql: &'static str, then: State) -> Result<(), DbErr> {
        self.run(async |link, _| link.execute(sql).await).await?;
        self.held.lock().await.state = then;
        Ok(())
    }

    /// Runs a prepared statement. One that the server refuses because it does not fit any more what was prepared was
    /// not begun: it is prepared anew and run again; in a transaction, which is lost, by whoever runs that again.
    async fn run_prepared<T>(
        &self,
        statement: &Statement,
        work: impl AsyncFn(&mut PgConnection, Query<'_>) -> Result<T, Error>,
    ) -> Result<T, DbErr> {
        self.run(async |link, state| {
            let mut prepares = 0;
            loop {
                let generation = self.generation.current();
                let sql = in_generation(&statement.sql, generation);
                let result = work(link, prepared(&sql, statement)).await;
                match &result {
                    Err(Error::Database(report)) if is_stale(&**report) => {
                        tracing::info!(cause = %report, "statements are prepared anew");
                        self.generation.end(generation);
                        forget_prepared(link, &**report).await?;
                    }
                    _ => return result,
                }
                prepares += 1;
                if state == State::InTransaction || prepares >= MAX_PREPARES {
                    return result;
                }
            }
        })
        .await
    }

    async fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut Object<Manager>, State) -> Result<T, Error>,
    ) -> Result<T, DbErr> {
        let mut held = self.held.lock().await;
        let before = std::mem::replace(&mut held.state, State::Busy);
        let link = held.link.as_mut().ok_or_else(|| failed(Error::PoolClosed))?;
        let result = work(link, before).await;
        held.state = match (&result, before) {
            (Ok(_), before) => before,
            (Err(Error::Database(report)), before) if !is_fatal(&**report) => match before {
                State::InTransaction => State::Refused,
                before => before,
            },
            (Err(_), _) => State::Broken,
        };
        result.map_err(failed)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let held = self.held.get_mut();
        if held.state == State::Ready {
            return;
        }
        let Some(link) = held.link.take() else { return };
        if held.state == State::Broken
            && let Some(pool) = Object::pool(&link)
        {
            // The idle ones lead to the same server.
            pool.retain(|_, _| false);
        }
        drop(Object::take(link));
    }
}

impl Standing {
    fn read(row: &PgRow) -> Result<Self, Error> {
        let (timeline, lsn): (i64, i64) = (row.try_get("timeline")?, row.try_get("lsn")?);
        let position = WalPosition {
            timeline: u32::try_from(timeline).map_err(|error| Error::Decode(error.into()))?,
            lsn: u64::try_from(lsn).map_err(|error| Error::Decode(error.into()))?,
        };
        Ok(Self { standby: row.try_get("standby")?, position })
    }
}

/// Leaves nothing prepared that the server was found to know otherwise. Where names are taken, only a new session has
/// none; with the old one ends its transaction.
async fn forget_prepared(link: &mut Object<Manager>, report: &dyn DatabaseError) -> Result<(), Error> {
    if !is_name_taken(report) {
        return link.clear_cached_statements().await;
    }
    let pool = Object::pool(link).ok_or(Error::PoolClosed)?;
    **link = Box::pin(pool.manager().options.connect()).await?;
    Ok(())
}

async fn stands(link: &mut PgConnection) -> Result<Standing, Error> {
    Standing::read(&link.fetch_one(STANDING).await?)
}

fn failed(error: Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

/// Whether the server closes the connection after this report.
fn is_fatal(report: &dyn DatabaseError) -> bool {
    let report = report.try_downcast_ref::<PgDatabaseError>();
    report.is_some_and(|report| matches!(report.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

#[async_trait::async_trait]
impl ConnectionTrait for Connection {
    fn get_database_backend(&self) -> DbBackend {
        DbBackend::Postgres
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let done: PgQueryResult =
            self.run_prepared(&statement, async |link, query| link.execute(query).await).await?;
        Ok(done.into())
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let done: PgQueryResult = self.run(async |link, _| link.execute(AssertSqlSafe(sql)).await).await?;
        Ok(done.into())
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let row: Option<PgRow> =
            self.run_prepared(&statement, async |link, query| link.fetch_optional(query).await).await?;
        Ok(row.map(QueryResult::from))
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let rows: Vec<PgRow> =
            self.run_prepared(&statement, async |link, query| link.fetch_all(query).await).await?;
        Ok(rows.into_iter().map(QueryResult::from).collect())
    }
}
