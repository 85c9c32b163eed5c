//! Idempotency records of creates. They are in the slot that the create writes to, and in its transaction.

use std::collections::{HashMap, HashSet};

use sea_orm::{ConnectionTrait, FromQueryResult, Value};
use uuid::Uuid;

use super::shard::failure;
use super::{Connection, Tx, sql_with};
use crate::model::id::{Slot, UserId};
use crate::model::idempotency::Request;
use crate::model::{Error, Result};

/// What was found under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// The key was unused and is now taken, for the row with this id.
    Fresh,
    /// The same create has been done before; this is its row.
    Replayed(Uuid),
}

const EXPIRED: Error = Error::Conflict("The idempotency key has just expired; use a new one.");

#[derive(FromQueryResult)]
struct Stored {
    input_hash: Vec<u8>,
    result_id: Uuid,
}

/// The row that the same request created before.
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

/// Takes the key for the row `id`, or returns who took it. When requests race, one is first; the others wait
/// until it has committed, or has failed and released the key.
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
    let stored = stored(tx.connection(), tx.slot(), caller, request).await?.ok_or(EXPIRED)?;
    if stored.input_hash != request.input_hash {
        return Err(Error::IdempotencyKeyReused);
    }
    Ok(Record::Replayed(stored.result_id))
}

/// One of several creates that are made together.
#[derive(Debug, Clone, Copy)]
pub struct Taking<'a> {
    pub slot: Slot,
    pub caller: UserId,
    pub request: &'a Request,
    /// The row that is made.
    pub id: Uuid,
}

#[derive(FromQueryResult)]
struct Taken {
    result_id: Uuid,
}

#[derive(FromQueryResult)]
struct StoredFor {
    asked: Uuid,
    input_hash: Vec<u8>,
    result_id: Uuid,
}

/// Like [`take`] for several creates, with a result for each.
pub async fn take_all(tx: &Tx, takings: &[Taking<'_>]) -> Result<Vec<Result<Record>>> {
    let sql = "insert into idempotency (slot, caller_id, operation, key, input_hash, result_id)
        select slot, caller_id, operation, key, input_hash, result_id
        from unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[], $5::bytea[], $6::uuid[])
            as asked (slot, caller_id, operation, key, input_hash, result_id)
        order by slot, caller_id, operation, key
        on conflict do nothing returning result_id";
    let [slots, callers, operations, keys] = columns(takings.iter());
    let hashes: Vec<Vec<u8>> = takings.iter().map(|taking| taking.request.input_hash.to_vec()).collect();
    let ids: Vec<Uuid> = takings.iter().map(|taking| taking.id).collect();
    let values = [slots, callers, operations, keys, hashes.into(), ids.into()];
    let taken =
        Taken::find_by_statement(sql_with(sql, values)).all(tx.connection()).await.map_err(failure)?;
    let fresh: HashSet<Uuid> = taken.into_iter().map(|row| row.result_id).collect();
    let others: Vec<&Taking> = takings.iter().filter(|taking| !fresh.contains(&taking.id)).collect();
    let stored = if others.is_empty() { HashMap::new() } else { stored_for(tx, &others).await? };
    let record = |taking: &Taking| match stored.get(&taking.id) {
        _ if fresh.contains(&taking.id) => Ok(Record::Fresh),
        None => Err(EXPIRED),
        Some(stored) if stored.input_hash != taking.request.input_hash => Err(Error::IdempotencyKeyReused),
        Some(stored) => Ok(Record::Replayed(stored.result_id)),
    };
    Ok(takings.iter().map(record).collect())
}

/// Rows created before under the keys of these creates, by the ids they would use.
async fn stored_for(tx: &Tx, takings: &[&Taking<'_>]) -> Result<HashMap<Uuid, StoredFor>> {
    let sql = "select asked.id as asked, input_hash, result_id
        from unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[], $5::uuid[])
            as asked (slot, caller_id, operation, key, id)
        join idempotency using (slot, caller_id, operation, key)";
    let [slots, callers, operations, keys] = columns(takings.iter().copied());
    let ids: Vec<Uuid> = takings.iter().map(|taking| taking.id).collect();
    let values = [slots, callers, operations, keys, ids.into()];
    let rows =
        StoredFor::find_by_statement(sql_with(sql, values)).all(tx.connection()).await.map_err(failure)?;
    Ok(rows.into_iter().map(|row| (row.asked, row)).collect())
}

/// Releases keys that were taken in this transaction by creates that were refused.
pub async fn release(tx: &Tx, takings: &[Taking<'_>]) -> Result<()> {
    let sql = "delete from idempotency
        using unnest($1::smallint[], $2::uuid[], $3::text[], $4::text[]) as asked (slot, caller_id, operation, key)
        where idempotency.slot = asked.slot and idempotency.caller_id = asked.caller_id
            and idempotency.operation = asked.operation and idempotency.key = asked.key";
    tx.connection().execute_raw(sql_with(sql, columns(takings.iter()))).await.map_err(failure)?;
    Ok(())
}

/// The columns of the primary key.
fn columns<'a>(takings: impl Iterator<Item = &'a Taking<'a>> + Clone) -> [Value; 4] {
    let slots: Vec<i16> = takings.clone().map(|taking| taking.slot.column()).collect();
    let callers: Vec<Uuid> = takings.clone().map(|taking| taking.caller.uuid()).collect();
    let operations: Vec<String> = takings.clone().map(|taking| taking.request.operation.to_owned()).collect();
    let keys: Vec<String> = takings.map(|taking| taking.request.key.as_str().to_owned()).collect();
    [slots.into(), callers.into(), operations.into(), keys.into()]
}

/// Deletes this shard's records that are past their retention.
pub async fn purge(connection: &impl ConnectionTrait, limit: i64) -> Result<u64> {
    let sql = "delete from idempotency where ctid = any(array(
        select ctid from idempotency where created_at < now() - interval '24 hours' limit $1))";
    let done = connection.execute_raw(sql_with(sql, [limit.into()])).await.map_err(failure)?;
    Ok(done.rows_affected())
}
