//! Which migrations a shard has, and which this program knows.

use std::fmt;
use std::sync::LazyLock;

use migration::{Migrator, MigratorTrait as _};
use sea_orm::{ConnectionTrait, DbErr, FromQueryResult};

use crate::model::Result;
use crate::store::shard::{Shard, failure, is_not_migrated};
use crate::store::sql_with;

/// The names of this program's migrations, oldest first.
pub static KNOWN: LazyLock<Vec<String>> =
    LazyLock::new(|| Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect());

/// A shard's history beside this program's migrations. Each list has the oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaState {
    /// Those that both have.
    pub applied: Vec<String>,
    /// Those that the shard has yet to get: what this program asks of it may fail.
    pub pending: Vec<String>,
    /// Those of a newer program, which this one can live with.
    pub unknown: Vec<String>,
}

impl SchemaState {
    fn of(history: Vec<String>) -> Self {
        let (applied, pending) = KNOWN.iter().cloned().partition(|name| history.contains(name));
        let unknown = history.into_iter().filter(|name| !KNOWN.contains(name)).collect();
        Self { applied, pending, unknown }
    }

    /// Whether the shard has all that this program knows.
    pub fn is_complete(&self) -> bool {
        self.pending.is_empty()
    }
}

impl fmt::Display for SchemaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pending.len(), self.unknown.len()) {
            (0, 0) => write!(f, "up to date"),
            (0, _) => write!(f, "newer than this program"),
            (1, _) => write!(f, "1 migration pending"),
            (pending, _) => write!(f, "{pending} migrations pending"),
        }
    }
}

/// How a shard's schema stands to this program. One small statement, bounded in time as all of them.
pub async fn version(shard: &Shard) -> Result<SchemaState> {
    shard.ask(async |connection| read(&connection).await.map_err(failure)).await
}

#[derive(FromQueryResult)]
struct Applied {
    version: String,
}

/// The same through any connection, outside a transaction: where there is no history yet the statement is
/// refused.
pub(in crate::store) async fn read(connection: &impl ConnectionTrait) -> Result<SchemaState, DbErr> {
    let sql = "select version from seaql_migrations order by version";
    match Applied::find_by_statement(sql_with(sql, [])).all(connection).await {
        Ok(rows) => Ok(SchemaState::of(rows.into_iter().map(|row| row.version).collect())),
        Err(error) if is_not_migrated(&error) => Ok(SchemaState::of(Vec::new())),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_told_in_few_words() {
        let told = |history: Vec<String>| SchemaState::of(history).to_string();
        assert_eq!(told(KNOWN.clone()), "up to date");
        assert_eq!(told(Vec::new()), format!("{} migrations pending", KNOWN.len()));
        assert_eq!(told(KNOWN[1..].to_vec()), "1 migration pending");
        assert_eq!(told([&KNOWN[..], &["m9".to_owned()]].concat()), "newer than this program");
    }
}
