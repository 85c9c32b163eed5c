//! A transaction on one shard, with its events.

use std::sync::{Arc, Mutex};

use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::shard::{Connection, failure};
use super::statement::sql_with;
use crate::model::event::{Event, OutboxRow, Traced};
use crate::model::id::{EventId, Slot};
use crate::model::wal::WalPosition;
use crate::model::{Clock, Error, Result};

/// A handle to a running transaction; cheap to clone. Everything read and written through it is in one slot's
/// shard.
#[derive(Clone)]
pub struct Tx(Arc<Inner>);

struct Inner {
    connection: Connection,
    slot: Slot,
    clock: Clock,
    events: Mutex<Vec<OutboxRow>>,
}

impl Tx {
    pub(super) fn new(connection: Connection, slot: Slot, clock: Clock) -> Self {
        Self(Arc::new(Inner { connection, slot, clock, events: Mutex::default() }))
    }

    pub fn slot(&self) -> Slot {
        self.0.slot
    }

    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Adds an event. It is stored with the transaction's rows and published after the commit.
    pub fn emit(&self, event: &Event) -> Result<()> {
        self.emit_in(self.0.slot, event)
    }

    /// Like [`Tx::emit`], for another slot of the shard.
    pub fn emit_in(&self, slot: Slot, event: &Event) -> Result<()> {
        let row = OutboxRow {
            id: EventId::make(&self.0.clock, slot).uuid(),
            subject: event.subject(),
            payload: Traced::here(event).payload()?,
        };
        self.0.events.lock().map_err(|_| poisoned())?.push(row);
        Ok(())
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.0.connection
    }

    /// Stores the events and commits; returns the events to be published. `locate` also reads the log
    /// position.
    pub(super) async fn commit(self, locate: bool) -> Result<(Vec<OutboxRow>, Option<WalPosition>)> {
        let inner = Arc::into_inner(self.0)
            .ok_or_else(|| Error::internal(anyhow::anyhow!("a transaction's handle outlived its work")))?;
        let events = inner.events.into_inner().map_err(|_| poisoned())?;
        if !events.is_empty() {
            let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
            let subjects: Vec<String> = events.iter().map(|event| event.subject.clone()).collect();
            let payloads: Vec<String> = events.iter().map(|event| event.payload.clone()).collect();
            let sql = "insert into outbox (id, subject, payload)
                select id, subject, payload from unnest($1::uuid[], $2::text[], $3::text[]) as event (id, subject, payload)";
            inner
                .connection
                .execute_raw(sql_with(sql, [ids.into(), subjects.into(), payloads.into()]))
                .await
                .map_err(failure)?;
        }
        if locate {
            let position = inner.connection.commit_at().await.map_err(failure)?;
            return Ok((events, Some(position)));
        }
        inner.connection.commit().await.map_err(failure)?;
        Ok((events, None))
    }

    pub(super) async fn rollback(self) {
        let Some(inner) = Arc::into_inner(self.0) else { return };
        if let Err(error) = inner.connection.rollback().await {
            tracing::debug!(cause = %error, "rollback failed; the connection is dropped");
        }
    }
}

fn poisoned() -> Error {
    Error::internal(anyhow::anyhow!("a thread panicked while it held the events of a transaction"))
}
