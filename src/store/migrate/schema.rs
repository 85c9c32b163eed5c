//! The migrations of a shard, compared with those of this program.

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

/// A shard's history compared with this program's migrations. Each list is oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaState {
    /// Known and applied.
    pub applied: Vec<String>,
    /// Missing on the shard: statements of this program may fail.
    pub pending: Vec<String>,
    /// Applied by a newer version, which is compatible.
    pub unknown: Vec<String>,
}

impl SchemaState {
    fn of(history: Vec<String>) -> Self {
        let (applied, pending) = KNOWN.iter().cloned().partition(|name| history.contains(name));
        let unknown = history.into_iter().filter(|name| !KNOWN.contains(name)).collect();
        Self { applied, pending, unknown }
    }

    /// Whether nothing is missing.
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

/// Reads the state of a shard's schema with one small statement.
pub async fn version(shard: &Shard) -> Result<SchemaState> {
    shard.ask(async |connection| read(&connection).await.map_err(failure)).await
}

#[derive(FromQueryResult)]
struct Applied {
    version: String,
}

/// Like that, through any connection outside a transaction: if there is no history table yet, the statement
/// fails.
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
