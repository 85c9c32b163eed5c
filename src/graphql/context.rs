//! What a resolver has at hand.

use std::net::IpAddr;

use async_graphql::Context;
use async_graphql::dataloader::DataLoader;

use super::loader::Reader;
use crate::domain::account::Viewer;
use crate::domain::{Domain, Error, Result};

/// What is known of a request beside its document.
#[derive(Debug, Clone, Default)]
pub struct RequestMeta {
    pub ip: Option<IpAddr>,
    pub user_agent: Option<String>,
    pub request_id: String,
}

/// The data of one request: who asks, and the loaders that ask each shard once.
pub struct RequestContext {
    pub domain: Domain,
    pub viewer: Option<Viewer>,
    pub meta: RequestMeta,
    pub loader: DataLoader<Reader>,
}

impl RequestContext {
    pub fn new(domain: Domain, viewer: Option<Viewer>, meta: RequestMeta) -> Self {
        let loader = Reader::for_request(domain.clone(), viewer.clone());
        Self { domain, viewer, meta, loader }
    }
}

/// Short ways to a request's data, for resolvers.
pub trait ContextExt {
    fn request(&self) -> &RequestContext;

    fn domain(&self) -> &Domain {
        &self.request().domain
    }

    fn loader(&self) -> &DataLoader<Reader> {
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
