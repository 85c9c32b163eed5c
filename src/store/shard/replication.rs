//! Replication state: whether a server is a standby, and the position of its write-ahead log.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Error, Executor, Row};

use crate::model::wal::WalPosition;

/// Reads the replication state in one row: standby, timeline, lsn. For a primary the position is the end of
/// its log, for a standby what it has replayed. The timeline of a standby is that of its last restart point,
/// which may be older but never newer.
const STATE: &str = "select pg_is_in_recovery() as standby,
    case when pg_is_in_recovery() then (select timeline_id from pg_control_checkpoint())
        else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer end::bigint as timeline,
    (case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
        else pg_current_wal_insert_lsn() end - '0/0')::bigint as lsn";

/// Commits a transaction on a primary and reads the same. Shorter, because every write waits for it.
pub const COMMIT: &str = "COMMIT; select false as standby,
    ('x' || left(pg_walfile_name(lsn), 8))::bit(32)::integer::bigint as timeline,
    (lsn - '0/0')::bigint as lsn from pg_current_wal_insert_lsn() as lsn";

/// The replication state of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicationState {
    /// It follows another server.
    pub standby: bool,
    pub position: WalPosition,
}

impl ReplicationState {
    /// Reads the state from the server.
    pub async fn ask(connection: &mut PgConnection) -> Result<Self, Error> {
        Self::read(&connection.fetch_one(STATE).await?)
    }

    /// Reads a row of [`STATE`] or [`COMMIT`].
    pub fn read(row: &PgRow) -> Result<Self, Error> {
        let (timeline, lsn): (i64, i64) = (row.try_get("timeline")?, row.try_get("lsn")?);
        let position = WalPosition {
            timeline: u32::try_from(timeline).map_err(|error| Error::Decode(error.into()))?,
            lsn: u64::try_from(lsn).map_err(|error| Error::Decode(error.into()))?,
        };
        Ok(Self { standby: row.try_get("standby")?, position })
    }
}
