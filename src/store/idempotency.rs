//! The records that make a create idempotent. They lie in the slot that the create writes, in its
//! transaction.

use sea_orm::{ConnectionTrait, FromQueryResult};
use uuid::Uuid;

use super::shard::failure;
use super::{Connection, Tx, sql_with};
use crate::model::id::{Slot, UserId};
use crate::model::idempotency::Request;
use crate::model::{Error, Result};

/// What a create finds under its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// Nobody used the key: it is now taken, for the row with this id.
    Fresh,
    /// The same create was made before; this is the row that it made.
    Replayed(Uuid),
}

#[derive(FromQueryResult)]
struct Stored {
    input_hash: Vec<u8>,
    result_id: Uuid,
}

/// What was made before by the same request.
pub async fn find(
    connection: &Connection,
    slot: Slot,
    caller: UserId,
    request: &Request,
) -> Result<Option<Uuid>> {
    let stored = stored(connection, slot, caller, request).await?;
    Ok(stored.filter(|stored| stored.input_hash == request.input_hash).map(|stored| stored.result_id))
}

async fn stored(
    connection: &Connection,
    slot: Slot,
    caller: UserId,
    request: &Request,
) -> Result<Option<Stored>> {
    let sql = "select input_hash, result_id from idempotency
        where slot = $1 and caller_id = $2 and operation = $3 and key = $4";
    let values =
        [slot.column().into(), caller.uuid().into(), request.operation.into(), request.key.as_str().into()];
    Stored::find_by_statement(sql_with(sql, values)).one(connection).await.map_err(failure)
}

/// Takes the key for the row `id`, or finds who took it. Of requests that race, one is first; the others
/// wait here until it has committed, or has failed and left the key free.
pub async fn take(tx: &Tx, caller: UserId, request: &Request, id: Uuid) -> Result<Record> {
    let slot = tx.slot().column();
    let insert = "insert into idempotency (slot, caller_id, operation, key, input_hash, result_id)
        values ($1, $2, $3, $4, $5, $6) on conflict do nothing";
    let values = [
        slot.into(),
        caller.uuid().into(),
        request.operation.into(),
        request.key.as_str().into(),
        request.input_hash.to_vec().into(),
        id.into(),
    ];
    let inserted = tx.connection().execute_raw(sql_with(insert, values)).await.map_err(failure)?;
    if inserted.rows_affected() == 1 {
        return Ok(Record::Fresh);
    }
    let stored = stored(tx.connection(), tx.slot(), caller, request)
        .await?
        .ok_or(Error::Conflict("The idempotency key has just expired; use a new one."))?;
    if stored.input_hash != request.input_hash {
        return Err(Error::IdempotencyKeyReused);
    }
    Ok(Record::Replayed(stored.result_id))
}

/// Forgets the records of this shard that are older than the time for which they are kept.
pub async fn purge(connection: &impl ConnectionTrait, limit: i64) -> Result<u64> {
    let sql = "delete from idempotency where ctid = any(array(
        select ctid from idempotency where created_at < now() - interval '24 hours' limit $1))";
    let done = connection.execute_raw(sql_with(sql, [limit.into()])).await.map_err(failure)?;
    Ok(done.rows_affected())
}
