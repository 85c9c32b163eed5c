//! PLACEHOLDER.

use std::sync::Arc;

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::domain::account::Viewer;
use crate::domain::id::{SessionId, Slot, UserId};
use crate::domain::{Clock, Error, Result};
use crate::graphql::context::RequestContext;
use crate::graphql::engine::Engine;
use crate::graphql::request::RequestMeta;
use crate::graphql::{Mutation, Query, Subscription};

/// PLACEHOLDER.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    config: Config,
    engine: Engine,
    stopping: CancellationToken,
    tasks: TaskTracker,
    revoked: CancellationToken,
}

/// A part of the system that this process uses.
#[derive(Debug, serde::Serialize)]
pub struct Part {
    pub name: String,
    pub healthy: bool,
    pub required: bool,
    pub detail: Option<String>,
}

impl App {
    pub fn new(config: Config) -> anyhow::Result<Self> {
        let engine = Engine::new(|| async_graphql::Schema::build(Query, Mutation, Subscription))?;
        Ok(Self(Arc::new(Inner {
            config,
            engine,
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            revoked: CancellationToken::new(),
        })))
    }
    pub fn config(&self) -> &Config {
        &self.0.config
    }
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }
    pub async fn authenticate(&self, token: &str) -> Result<Viewer> {
        match token {
            "test" | "expired-soon" => {
                let clock = Clock::system();
                let slot = Slot::random();
                Ok(Viewer {
                    user: UserId::make(&clock, slot),
                    session: SessionId::make(&clock, slot),
                    expires_at: OffsetDateTime::UNIX_EPOCH,
                })
            }
            "expired" => Err(Error::TokenExpired),
            _ => Err(Error::TokenRevoked),
        }
    }
    pub async fn closed(&self, _: &Viewer) -> Error {
        self.0.revoked.cancelled().await;
        Error::TokenRevoked
    }
    pub fn revoke_all(&self) {
        self.0.revoked.cancel();
    }
    pub fn request_data(&self, viewer: Option<Viewer>, meta: RequestMeta) -> RequestContext {
        RequestContext { viewer, meta }
    }
    pub async fn readiness(&self) -> Vec<Part> {
        vec![Part { name: "shard a".to_owned(), healthy: true, required: true, detail: None }]
    }
    pub fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }
    pub fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }
    pub fn jwks(&self) -> serde_json::Value {
        serde_json::json!({"keys": []})
    }
}
