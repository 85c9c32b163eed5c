//! Classifies errors of `PostgreSQL`.

use sea_orm::{DbErr, RuntimeErr, SqlxError};
use sqlx::error::DatabaseError;

use super::connection::is_stale;
use crate::model::{Error, ServerFault};

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

/// Whether the error means that the shard is unreachable, rather than that it rejected a statement: class 08
/// (connection), 57P01–57P03 (shutting down, starting), 53300 (too many connections), 25006 (read-only: a
/// standby that was a primary).
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

/// Why no connection could be made.
pub fn fault_of_connecting(error: &SqlxError) -> ServerFault {
    if let Some(state) = error.as_database_error().and_then(DatabaseError::code) {
        return match &*state {
            "28P01" => ServerFault::WrongCredentials,
            "28000" => ServerFault::AccessDenied,
            "3D000" => ServerFault::NoDatabase,
            "42501" => ServerFault::MissingPermission,
            "53300" => ServerFault::NoFreeConnection,
            _ => ServerFault::Unreachable,
        };
    }
    match error {
        // The driver has no kind of its own for it.
        SqlxError::Tls(cause) if cause.to_string() == "server does not support TLS" => ServerFault::NoTls,
        error => ServerFault::of_tls(error).unwrap_or(ServerFault::Unreachable),
    }
}

/// Converts an error of the driver; logs it if the shard is unavailable.
pub fn failure(error: DbErr) -> Error {
    if is_unavailable(&error) {
        tracing::warn!(cause = %error, "shard unavailable");
    }
    meaning(error)
}

/// Like [`failure`], without logging.
pub fn meaning(error: DbErr) -> Error {
    if is_unavailable(&error) { Error::ShardUnavailable } else { Error::internal(error) }
}

/// Whether the table does not exist: the database was never migrated.
pub fn is_not_migrated(error: &DbErr) -> bool {
    sqlstate(error).as_deref() == Some("42P01")
}

/// True for a serialization failure, a deadlock or a stale prepared statement: the transaction may succeed
/// when it is run again.
pub fn is_retryable(error: &Error) -> bool {
    let Some(error) = cause(error) else { return false };
    report(error).is_some_and(is_stale)
        || sqlstate(error).is_some_and(|state| matches!(&*state, "40001" | "40P01"))
}

/// What `PostgreSQL` reported, if the transaction failed for a lock: a deadlock, or `lock_timeout`. It may succeed
/// when it is run again.
pub fn lock_conflict(error: &DbErr) -> Option<&str> {
    let report = report(error)?;
    report.code().is_some_and(|state| matches!(&*state, "40P01" | "55P03")).then(|| report.message())
}

/// True for a foreign key violation: the row refers to one that is gone.
pub fn is_orphan(error: &Error) -> bool {
    reported(error).is_some_and(|state| state == "23503")
}

/// The SQLSTATE of an error made by [`failure`].
fn reported(error: &Error) -> Option<String> {
    cause(error).and_then(sqlstate)
}

/// The driver's error behind one made by [`failure`].
fn cause(error: &Error) -> Option<&DbErr> {
    let Error::Internal(cause) = error else { return None };
    cause.downcast_ref::<DbErr>()
}
