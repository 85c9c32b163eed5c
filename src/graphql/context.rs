//! What a resolver has at hand.

use std::net::IpAddr;

use async_graphql::Context;

use super::loader::Loads;
use crate::domain::Domain;
use crate::domain::viewer::Viewer;
use crate::live::Hub;
use crate::model::trace::TraceParent;
use crate::model::{Error, Result};
use crate::telemetry::RequestId;

/// The data of one request: who asks, and the loaders that ask each shard once.
pub struct RequestContext {
    pub domain: Domain,
    pub hub: Hub,
    pub viewer: Option<Viewer>,
    pub meta: RequestMeta,
    pub loader: Loads,
}

impl RequestContext {
    pub fn new(domain: Domain, hub: Hub, viewer: Option<Viewer>, meta: RequestMeta) -> Self {
        let loader = Loads::for_request(domain.clone(), viewer.clone());
        Self { domain, hub, viewer, meta, loader }
    }
}

/// Who asks, from where; for sessions, rate limits and the audit log.
#[derive(Debug, Clone, Default)]
pub struct RequestMeta {
    pub ip: Option<IpAddr>,
    pub user_agent: Option<String>,
    pub request_id: RequestId,
    /// The client's span, if it named one.
    pub trace_parent: Option<TraceParent>,
}

/// Short ways to a request's data, for resolvers.
pub trait ContextExt {
    fn request(&self) -> &RequestContext;

    fn domain(&self) -> &Domain {
        &self.request().domain
    }

    fn hub(&self) -> &Hub {
        &self.request().hub
    }

    fn loader(&self) -> &Loads {
        &self.request().loader
    }

    /// The signed-in caller, if one is.
    fn viewer(&self) -> Option<&Viewer> {
        self.request().viewer.as_ref()
    }

    /// The signed-in caller; `UNAUTHENTICATED` for a stranger.
    fn require_viewer(&self) -> Result<&Viewer> {
        self.viewer().ok_or(Error::Unauthenticated)
    }
}

impl ContextExt for Context<'_> {
    fn request(&self) -> &RequestContext {
        self.data_unchecked::<RequestContext>()
    }
}
