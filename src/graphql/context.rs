//! PLACEHOLDER.

use crate::domain::account::Viewer;
use crate::graphql::request::RequestMeta;

/// PLACEHOLDER.
pub struct RequestContext {
    pub viewer: Option<Viewer>,
    pub meta: RequestMeta,
}
