//! How long the statements of a shard take, by table.

use std::collections::HashMap;
use std::time::Duration;

use metrics::{Histogram, histogram};

const DURATION: &str = "fowergram_query_duration_seconds";
/// Stands for `BEGIN`, `COMMIT` and `ROLLBACK`.
const TRANSACTION: &str = "transaction";
/// Stands for statements that name none of the tables.
const OTHER: &str = "other";

/// All tables that statements of requests and workers name.
pub const TABLES: [&str; 27] = [
    "backfills",
    "claims",
    "comments",
    "conversations",
    "credentials",
    "follow_requests",
    "followers",
    "following",
    "hashtag_posts",
    "hashtags",
    "idempotency",
    "inbox",
    "liked",
    "likes",
    "media",
    "members",
    "messages",
    "notification_actors",
    "notifications",
    "outbox",
    "posts",
    "reactions",
    "receiver_log",
    "receivers",
    "sessions",
    "shard_map",
    "users",
];

/// Handles that are looked up once.
#[derive(Debug)]
pub struct QueryTimes {
    shard: String,
    tables: HashMap<&'static str, Histogram>,
    transaction: Histogram,
    other: Histogram,
}

impl QueryTimes {
    pub fn new(shard: &str) -> Self {
        let times = |table: &'static str| histogram!(DURATION, "shard" => shard.to_owned(), "table" => table);
        Self {
            shard: shard.to_owned(),
            tables: TABLES.into_iter().map(|table| (table, times(table))).collect(),
            transaction: times(TRANSACTION),
            other: times(OTHER),
        }
    }

    /// The name of the shard.
    pub fn shard(&self) -> &str {
        &self.shard
    }

    /// A statement on this table that ended, well or not.
    pub fn record(&self, table: &str, took: Duration) {
        self.tables.get(table).unwrap_or(&self.other).record(took);
    }

    /// A `BEGIN`, `COMMIT` or `ROLLBACK`.
    pub fn record_transaction(&self, took: Duration) {
        self.transaction.record(took);
    }
}

/// The table that a statement names first.
pub fn table_of(sql: &str) -> &'static str {
    let table = named(sql).find_map(|name| TABLES.binary_search(&name).ok());
    table.map_or(OTHER, |index| TABLES[index])
}

/// What a statement reads from or writes to, in the order of its text: tables, functions and names of its own.
fn named(sql: &str) -> impl Iterator<Item = &str> {
    let mut words = sql.split_ascii_whitespace();
    std::iter::from_fn(move || {
        words.find(|word| {
            ["from", "into", "update", "join"].iter().any(|keyword| word.eq_ignore_ascii_case(keyword))
        })?;
        words.next().map(|name| name.trim_matches(|character: char| !is_of_name(character)))
    })
}

const fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_known_by_its_first_table() {
        assert!(TABLES.is_sorted());
        for (sql, table) in [
            (r#"SELECT "users"."id" FROM "users" WHERE "users"."id" = ANY($1)"#, "users"),
            ("with held as materialized (\n select id from posts where id = any($1)) update likes", "posts"),
            ("insert into outbox (id) select id from unnest($1::uuid[]) as made (id)", "outbox"),
            ("select p.id from unnest($1::uuid[]) as asked (id) join posts p using (id)", "posts"),
            ("update members set state = 1 from conversations", "members"),
            ("delete from sessions where id = $1", "sessions"),
            ("select 1", "other"),
            ("select pg_last_wal_replay_lsn()", "other"),
            ("", "other"),
        ] {
            assert_eq!(table_of(sql), table, "{sql}");
        }
    }
}
