//! Prepared statements, and when the server rejects one.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sea_orm::{Statement, Values};
use sea_query_sqlx::SqlxValues;
use sqlx::AssertSqlSafe;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

/// Counts how often statements had to be prepared again. The number is appended to every statement's text, so
/// that nothing is used that a session, or a pooler for several sessions, prepared before.
#[derive(Clone, Debug, Default)]
pub struct Generation(Arc<AtomicU64>);

impl Generation {
    /// The number of the current one.
    pub fn current(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Ends this generation, if it is the current one.
    pub fn end(&self, ended: u64) {
        if self.0.compare_exchange(ended, ended + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            metrics::counter!("fowergram_statements_reprepared_total").increment(1);
        }
    }
}

/// A statement as the driver takes it.
pub type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, SqlxValues>;

/// The statement, with this text.
pub fn prepared<'q>(sql: &'q str, statement: &Statement) -> Query<'q> {
    let values = statement.values.clone().unwrap_or(Values(Vec::new()));
    sqlx::query_with(AssertSqlSafe(sql), SqlxValues(values))
}

/// The text of a statement in a generation.
pub fn in_generation(sql: &str, generation: u64) -> Cow<'_, str> {
    if generation == 0 { Cow::Borrowed(sql) } else { Cow::Owned(format!("{sql}\n-- {generation}")) }
}

/// Whether the prepared statement is stale: its result columns have changed (0A000), it is gone (26000), or
/// its name is used for something else (42P05).
pub fn is_stale(report: &dyn DatabaseError) -> bool {
    let routine = || report.try_downcast_ref::<PgDatabaseError>().and_then(PgDatabaseError::routine);
    match report.code().as_deref() {
        // The only "feature not supported" error that depends on when it is run.
        Some("0A000") => routine() == Some("RevalidateCachedQuery"),
        Some("26000") => true,
        _ => is_name_taken(report),
    }
}

/// Whether another statement in the session already has the name.
pub fn is_name_taken(report: &dyn DatabaseError) -> bool {
    report.code().as_deref() == Some("42P05")
}
