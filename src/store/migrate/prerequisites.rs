//! Checks a database before anything in it is changed.

use anyhow::ensure;
use sea_orm::{DatabaseConnection, FromQueryResult};

use crate::store::sql_with;

/// In the format of `server_version_num`: 14.0.
const OLDEST: i32 = 140_000;

#[derive(FromQueryResult)]
struct Found {
    version: i32,
    version_text: String,
    standby: bool,
    read_only: bool,
    database: String,
    encoding: String,
    role: String,
    schema: Option<String>,
    may_create: bool,
}

/// Fails with one line that says how to fix it.
pub async fn check(work: &DatabaseConnection) -> anyhow::Result<()> {
    let sql = "select current_setting('server_version_num')::integer as version,
            current_setting('server_version') as version_text,
            pg_is_in_recovery() as standby,
            current_setting('default_transaction_read_only')::boolean as read_only,
            current_database()::text as database,
            current_setting('server_encoding') as encoding,
            current_user::text as role,
            current_schema()::text as schema,
            coalesce(has_schema_privilege(current_schema(), 'create'), false) as may_create";
    let found = Found::find_by_statement(sql_with(sql, [])).one(work).await?;
    let Some(found) = found else { anyhow::bail!("the server returned no settings") };
    let Found { database, role, .. } = &found;
    ensure!(found.version >= OLDEST, "the server is PostgreSQL {}: use 14 or later", found.version_text);
    ensure!(!found.standby, "the server is a standby: give the address of its primary");
    ensure!(
        !found.read_only,
        "transactions are read-only: run `alter role {role} reset default_transaction_read_only`, and the same for \
         the database {database}"
    );
    ensure!(
        found.encoding == "UTF8",
        "the database {database} has the encoding {}: make it anew with `create database {database} encoding 'UTF8' \
         template template0`",
        found.encoding
    );
    ensure!(
        found.schema.as_deref() == Some("public"),
        "search_path leads to {} and not to public: run `alter role {role} reset search_path`, and the same for the \
         database {database}",
        found.schema.as_deref().unwrap_or("no schema")
    );
    ensure!(
        found.may_create,
        "{role} may not create tables in {database}: run `grant create on schema public to {role}` in it as its owner"
    );
    Ok(())
}
