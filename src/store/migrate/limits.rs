//! Time-outs that the server itself keeps. A client that gives up leaves its statement behind; and a pooler
//! takes no settings from clients, so they are those of the role in the database.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, FromQueryResult};

use super::super::sql_with;

/// How much later than the client the server gives up: the client's own word comes first.
const LATER: Duration = Duration::from_secs(1);
/// How often the server looks, while it works on a statement, whether the client is still there.
const LOOK: Duration = Duration::from_secs(1);

#[derive(FromQueryResult)]
struct Command {
    sql: String,
}

/// Sets them for sessions of this role that begin from now on. `timeout` is what a client waits for one
/// transaction.
pub async fn set(connection: &DatabaseConnection, role: &str, timeout: Duration) -> Result<(), DbErr> {
    let milliseconds = |of: Duration| i64::try_from(of.as_millis()).unwrap_or(i64::MAX);
    let limit = milliseconds(timeout + LATER);
    // Quoted by the server, which knows how.
    let sql =
        "select format('alter role %I in database %I set %s = %s', $1::text, current_database(), name, value)
            as sql
        from (values ('statement_timeout', $2::bigint), ('idle_in_transaction_session_timeout', $2),
            ('client_connection_check_interval', $3)) as setting (name, value)";
    let values = [role.into(), limit.into(), milliseconds(LOOK).into()];
    for command in Command::find_by_statement(sql_with(sql, values)).all(connection).await? {
        connection.execute_unprepared(&command.sql).await?;
    }
    Ok(())
}
