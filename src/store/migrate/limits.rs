//! Time-outs that the server enforces. A client that gives up leaves its statement running, and poolers don't
//! pass on client settings, so they are set for the role in this database.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, FromQueryResult};

use super::super::sql_with;

/// How much later than the client the server gives up, so that the client's error comes first.
const LATER: Duration = Duration::from_secs(1);
/// How often the server checks during a statement whether the client is still connected.
const LOOK: Duration = Duration::from_secs(1);

#[derive(FromQueryResult)]
struct Command {
    sql: String,
}

/// Sets them for new sessions of this role. `timeout` is the client's time limit for a transaction.
pub async fn set(connection: &DatabaseConnection, role: &str, timeout: Duration) -> Result<(), DbErr> {
    let milliseconds = |of: Duration| i64::try_from(of.as_millis()).unwrap_or(i64::MAX);
    let limit = milliseconds(timeout + LATER);
    // Quoted by the server.
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
