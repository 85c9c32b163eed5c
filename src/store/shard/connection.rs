//! A connection to a `PostgreSQL` database, as `SeaORM` runs statements on it.

mod manager;
mod prepared;

use deadpool::managed::Object;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnection, PgDatabaseError, PgQueryResult, PgRow, PgSeverity};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Error, Executor};
use tokio::sync::Mutex;

use super::replication::{COMMIT, ReplicationState};
use crate::model::wal::WalPosition;
pub use manager::Manager;
pub use prepared::{Generation, is_stale};
use prepared::{Query, in_generation, is_name_taken, prepared};

/// How often a statement is prepared anew and run again, because the server does not run it as it was prepared.
const MAX_PREPARES: u32 = 3;

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
    pooled: Option<Object<Manager>>,
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
    pub(super) fn new(pooled: Object<Manager>, generation: Generation) -> Self {
        Self { held: Mutex::new(Held { pooled: Some(pooled), state: State::Ready }), generation }
    }

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
        let rows = self.run(async |pg, _| pg.fetch_all(COMMIT).await).await?;
        self.held.lock().await.state = State::Ready;
        let [row] = rows.as_slice() else { return Err(failed(Error::RowNotFound)) };
        Ok(ReplicationState::read(row).map_err(failed)?.position)
    }

    async fn check_unrefused(&self) -> Result<(), DbErr> {
        if self.held.lock().await.state == State::InTransaction {
            return Ok(());
        }
        Err(DbErr::Custom("a transaction with a refused statement can't be committed".into()))
    }

    /// Where the server stands at this moment.
    pub async fn replication_state(&self) -> Result<ReplicationState, DbErr> {
        self.run(async |pg, _| ReplicationState::ask(pg).await).await
    }

    pub async fn rollback(&self) -> Result<(), DbErr> {
        self.control("ROLLBACK", State::Ready).await
    }

    async fn control(&self, sql: &'static str, then: State) -> Result<(), DbErr> {
        self.run(async |pg, _| pg.execute(sql).await).await?;
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
        self.run(async |pg, state| {
            let mut prepares = 0;
            loop {
                let generation = self.generation.current();
                let sql = in_generation(&statement.sql, generation);
                let result = work(pg, prepared(&sql, statement)).await;
                match &result {
                    Err(Error::Database(report)) if is_stale(&**report) => {
                        tracing::info!(cause = %report, "statements are prepared anew");
                        self.generation.end(generation);
                        forget_prepared(pg, &**report).await?;
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
        let pooled = held.pooled.as_mut().ok_or_else(|| failed(Error::PoolClosed))?;
        let result = work(pooled, before).await;
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
        let Some(pooled) = held.pooled.take() else { return };
        if held.state == State::Broken
            && let Some(pool) = Object::pool(&pooled)
        {
            // The idle ones lead to the same server.
            pool.retain(|_, _| false);
        }
        drop(Object::take(pooled));
    }
}

/// Leaves nothing prepared that the server was found to know otherwise. Where names are taken, only a new session has
/// none; with the old one ends its transaction.
async fn forget_prepared(pooled: &mut Object<Manager>, report: &dyn DatabaseError) -> Result<(), Error> {
    if !is_name_taken(report) {
        return pooled.clear_cached_statements().await;
    }
    let pool = Object::pool(pooled).ok_or(Error::PoolClosed)?;
    **pooled = Box::pin(pool.manager().options.connect()).await?;
    Ok(())
}

/// An error of sqlx, as SeaORM has them.
pub fn failed(error: Error) -> DbErr {
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
            self.run_prepared(&statement, async |pg, query| pg.execute(query).await).await?;
        Ok(done.into())
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let done: PgQueryResult = self.run(async |pg, _| pg.execute(AssertSqlSafe(sql)).await).await?;
        Ok(done.into())
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let row: Option<PgRow> =
            self.run_prepared(&statement, async |pg, query| pg.fetch_optional(query).await).await?;
        Ok(row.map(QueryResult::from))
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let rows: Vec<PgRow> =
            self.run_prepared(&statement, async |pg, query| pg.fetch_all(query).await).await?;
        Ok(rows.into_iter().map(QueryResult::from).collect())
    }
}
