//! Shard statistics for operators.

use futures_util::future::join_all;
use sea_orm::{DbBackend, FromQueryResult, Statement};
use serde::Serialize;

use super::shard::failure;
use super::{Connection, Store};
use crate::model::Result;

/// One shard now.
#[derive(Debug, Serialize)]
pub struct Overview {
    pub shard: String,
    /// Host, port and database of the primary.
    pub endpoint: String,
    pub slots: usize,
    /// Null if the primary does not answer.
    pub contents: Option<Contents>,
    pub replicas: Vec<Replica>,
}

/// What is stored there.
#[derive(Debug, Serialize, FromQueryResult)]
pub struct Contents {
    pub users: i64,
    pub posts: i64,
    /// On the disk.
    pub bytes: i64,
}

/// A replica, as its primary sees it.
#[derive(Debug, Serialize, FromQueryResult)]
pub struct Replica {
    pub name: String,
    pub state: String,
    /// What it has not replayed yet; null if unknown.
    pub lag_bytes: Option<i64>,
}

/// All shards, read concurrently, in the configured order.
pub async fn all(store: &Store) -> Vec<Overview> {
    let map = store.0.map.load();
    join_all(store.shards().iter().enumerate().map(|(index, shard)| {
        let slots = map.slots_of(index);
        async move {
            let seen = shard.ask(look).await;
            let (contents, replicas) =
                seen.map_or_else(|_| (None, Vec::new()), |(contents, replicas)| (contents, replicas));
            Overview { shard: shard.name.clone(), endpoint: shard.address.clone(), slots, contents, replicas }
        }
    }))
    .await
}

async fn look(connection: Connection) -> Result<(Option<Contents>, Vec<Replica>)> {
    let contents = "select (select count(*) from users where state <> 9) as users,
        (select count(*) from posts where deleted_at is null) as posts,
        pg_database_size(current_database()) as bytes";
    // Without the privilege to read others' statistics, all but the name is null.
    let replicas = "select coalesce(nullif(application_name, ''), 'replica') as name,
        coalesce(state, 'unknown') as state,
        pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint as lag_bytes
        from pg_stat_replication order by 1";
    let statement = |sql| Statement::from_string(DbBackend::Postgres, sql);
    let contents =
        Contents::find_by_statement(statement(contents)).one(&connection).await.map_err(failure)?;
    let replicas = Replica::find_by_statement(statement(replicas)).all(&connection).await.map_err(failure)?;
    Ok((contents, replicas))
}
