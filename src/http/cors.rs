//! Which pages may call from a browser. Tokens come in a header and never in a cookie, so credentials
//! are not allowed for.

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue};

use crate::config::{HttpConfig, Origin};

/// The origins that may call.
pub struct Cors {
    any: bool,
    origins: Vec<String>,
    /// What pages may send.
    headers: HeaderValue,
}

/// What pages may send in any case: what the API reads, and what clients and tracers add by themselves.
const HEADERS: &str = "authorization, content-type, accept, x-request-id, x-requested-with, \
                       graphql-require-preflight, apollo-require-preflight, x-graphql-event-stream-token, \
                       last-event-id, cache-control, apollographql-client-name, apollographql-client-version, \
                       graphql-client-name, graphql-client-version, x-apollo-operation-name, \
                       x-apollo-operation-id, x-apollo-operation-type, x-apollo-tracing, \
                       traceparent, tracestate, sentry-trace, baggage";

impl Cors {
    /// Without a list, development lets any origin in and production none.
    pub fn new(config: &HttpConfig, development: bool) -> Self {
        let origins = &config.cors_origins;
        let any = (development && origins.is_empty()) || origins.contains(&Origin::Any);
        let named = |origin: &Origin| match origin {
            Origin::Named(origin) => Some(origin.clone()),
            Origin::Any => None,
        };
        let headers = config.more_cors_headers().fold(HEADERS.to_owned(), |all, name| all + ", " + name);
        let headers = HeaderValue::try_from(headers).unwrap_or(HeaderValue::from_static(HEADERS));
        Self { any, origins: origins.iter().filter_map(named).collect(), headers }
    }

    /// Whether the request comes from no page, or from one that may call.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        headers.get(ORIGIN).is_none_or(|origin| self.lists(origin))
    }

    /// Tells the browser that the page may read the answer.
    pub fn mark(&self, request: &HeaderMap, response: &mut HeaderMap) {
        let Some(origin) = request.get(ORIGIN) else { return };
        response.append(VARY, HeaderValue::from_static("origin"));
        if self.lists(origin) {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            let exposed = HeaderValue::from_static("x-request-id, retry-after");
            response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }

    /// Answers the browser's question before a request.
    pub fn preflight(&self, request: &HeaderMap, methods: &'static str, response: &mut HeaderMap) {
        self.mark(request, response);
        response.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        response.insert(ALLOW, HeaderValue::from_static(methods));
        response.insert(ACCESS_CONTROL_ALLOW_HEADERS, self.headers.clone());
        response.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    }

    fn lists(&self, origin: &HeaderValue) -> bool {
        self.any
            || self.origins.iter().any(|listed| listed.as_bytes().eq_ignore_ascii_case(origin.as_bytes()))
    }
}
