//! Sessions, as their owner sees them.

use async_graphql::{ID, Object};

use super::scalar::DateTime;
use crate::domain::viewer::Viewer;
use crate::model::id::SessionId;
use crate::store::session;

pub struct Session {
    row: session::Model,
    /// The session of the request.
    current: SessionId,
}

impl Session {
    pub fn new(row: session::Model, viewer: &Viewer) -> Self {
        Self { row, current: viewer.session }
    }
}

/// A sign-in on one device.
#[Object]
impl Session {
    async fn id(&self) -> ID {
        self.row.id.into()
    }

    /// The client's name for the device, or its user agent.
    async fn device(&self) -> Option<&str> {
        self.row.device.as_deref()
    }

    async fn ip(&self) -> Option<&str> {
        self.row.ip.as_deref()
    }

    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// When the session was last refreshed.
    async fn last_seen_at(&self) -> DateTime {
        DateTime(self.row.last_seen_at)
    }

    async fn current(&self) -> bool {
        self.row.id() == self.current
    }
}
