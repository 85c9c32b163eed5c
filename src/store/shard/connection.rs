//! A borrowed `PostgreSQL` connection on which `SeaORM` runs statements.

mod manager;
mod prepared;

use std::sync::Arc;
use std::time::Instant;

use deadpool::managed::Object;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement};
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgConnection, PgDatabaseError, PgQueryResult, PgRow, PgSeverity};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Error, Executor};
use tokio::sync::Mutex;
use tracing::{Instrument as _, Span, info_span};

use super::query_times::{QueryTimes, table_of};
use super::replication::{COMMIT, ReplicationState};
use crate::model::trace::TARGET;
use crate::model::wal::WalPosition;
pub use manager::Manager;
pub use prepared::{Generation, is_stale};
use prepared::{Query, in_generation, is_name_taken, prepared};

/// How many times a statement is prepared again after the server rejected its prepared form.
const MAX_PREPARES: u32 = 3;

/// A borrowed connection. Statements run one after the other.
#[derive(Debug)]
pub struct Connection {
    // Locked while waiting for the server, because the protocol runs one statement at a time and `SeaORM`
    // passes connections as `&self`. There is never contention: a connection has one user.
    held: Mutex<Held>,
    generation: Generation,
    times: Arc<QueryTimes>,
}

#[derive(Debug)]
struct Held {
    /// Only `None` once it was closed.
    pooled: Option<Object<Manager>>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    InTransaction,
    /// A statement of the transaction failed: only a rollback is possible.
    Refused,
    /// A statement is running, or was when its caller stopped waiting.
    Busy,
    /// The connection is unusable.
    Broken,
}

impl Connection {
    pub(super) fn new(pooled: Object<Manager>, generation: Generation, times: Arc<QueryTimes>) -> Self {
        Self { held: Mutex::new(Held { pooled: Some(pooled), state: State::Ready }), generation, times }
    }

    /// Begins a transaction. End it with [`Connection::commit`] or [`Connection::rollback`]; if the
    /// connection is dropped first, the server rolls back.
    pub async fn begin(&self) -> Result<(), DbErr> {
        self.control("BEGIN", State::InTransaction).await
    }

    /// Commits. Fails if one of the transaction's statements failed, even if that error was ignored.
    pub async fn commit(&self) -> Result<(), DbErr> {
        self.check_unrefused().await?;
        self.control("COMMIT", State::Ready).await
    }

    /// Like [`Connection::commit`]; also returns the log position, in the same round trip.
    pub async fn commit_at(&self) -> Result<WalPosition, DbErr> {
        self.check_unrefused().await?;
        let start = Instant::now();
        let span = statement_span(self.times.shard(), "transaction", "COMMIT");
        let rows = self.run(async |pg, _| pg.fetch_all(COMMIT).await).instrument(span).await?;
        self.times.record_transaction(start.elapsed());
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

    /// The server's replication state now.
    pub async fn replication_state(&self) -> Result<ReplicationState, DbErr> {
        self.run(async |pg, _| ReplicationState::ask(pg).await).await
    }

    pub async fn rollback(&self) -> Result<(), DbErr> {
        self.control("ROLLBACK", State::Ready).await
    }

    async fn control(&self, sql: &'static str, then: State) -> Result<(), DbErr> {
        let start = Instant::now();
        let span = statement_span(self.times.shard(), "transaction", sql);
        self.run(async |pg, _| pg.execute(sql).await).instrument(span).await?;
        self.times.record_transaction(start.elapsed());
        self.held.lock().await.state = then;
        Ok(())
    }

    /// Runs a prepared statement. If the server rejects its prepared form as stale, nothing was executed: the
    /// statement is prepared and run again. In a transaction that is not possible, so the caller has to retry
    /// the transaction.
    async fn run_prepared<T>(
        &self,
        statement: &Statement,
        work: impl AsyncFn(&mut PgConnection, Query<'_>) -> Result<T, Error>,
    ) -> Result<T, DbErr> {
        let (start, table) = (Instant::now(), table_of(&statement.sql));
        let span = statement_span(self.times.shard(), table, &statement.sql);
        let result = self.run(async |pg, state| {
            let mut prepares = 0;
            loop {
                let generation = self.generation.current();
                let sql = in_generation(&statement.sql, generation);
                let result = work(pg, prepared(&sql, statement)).await;
                match &result {
                    Err(Error::Database(report)) if is_stale(&**report) => {
                        tracing::info!(cause = %report, "stale prepared statements are prepared again");
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
        });
        let result = result.instrument(span).await;
        self.times.record(table, start.elapsed());
        result
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

/// The span of a statement. Its text holds no values: all of them are parameters.
fn statement_span(shard: &str, table: &'static str, sql: &str) -> Span {
    info_span!(
        target: TARGET,
        "statement",
        otel.name = format!("{shard} {table}"),
        otel.kind = "client",
        db.system.name = "postgresql",
        db.namespace = shard,
        db.collection.name = table,
        db.query.text = sql,
    )
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
            // The idle connections go to the same server.
            pool.retain(|_, _| false);
        }
        drop(Object::take(pooled));
    }
}

/// Drops prepared statements that no longer match the server. If a statement name is already taken, only a
/// new session helps, which ends the transaction of the old one.
async fn forget_prepared(pooled: &mut Object<Manager>, report: &dyn DatabaseError) -> Result<(), Error> {
    if !is_name_taken(report) {
        return pooled.clear_cached_statements().await;
    }
    let pool = Object::pool(pooled).ok_or(Error::PoolClosed)?;
    **pooled = Box::pin(pool.manager().options.connect()).await?;
    Ok(())
}

/// Wraps an error of sqlx for `SeaORM`.
pub fn failed(error: Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(error.into()))
}

/// Whether the server closes the connection after this error.
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
