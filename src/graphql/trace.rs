//! Spans of resolvers.

use std::sync::Arc;

use async_graphql::extensions::{Extension, ExtensionContext, ExtensionFactory, NextResolve, ResolveInfo};
use async_graphql::{ServerResult, Value};
use tracing::{Instrument as _, info_span};

use crate::model::trace::TARGET;

/// Makes a span of each field that has fields of its own. The others only read what is there.
pub struct ResolverSpans;

impl ExtensionFactory for ResolverSpans {
    fn create(&self) -> Arc<dyn Extension> {
        Arc::new(Self)
    }
}

#[async_graphql::async_trait::async_trait]
impl Extension for ResolverSpans {
    async fn resolve(
        &self,
        ctx: &ExtensionContext<'_>,
        info: ResolveInfo<'_>,
        next: NextResolve<'_>,
    ) -> ServerResult<Option<Value>> {
        if info.field.selection_set.node.items.is_empty() {
            return next.run(ctx, info).await;
        }
        let span = info_span!(
            target: TARGET,
            "resolve",
            otel.name = format!("{}.{}", info.parent_type, info.name),
            graphql.path = %info.path_node,
        );
        next.run(ctx, info).instrument(span).await
    }
}
