//! The viewer's feed.

use async_graphql::{Context, SimpleObject};

use super::context::ContextExt;
use super::page::{Connection, Extra, forward};
use super::post::Post;
use super::scalar::{Cursor, DateTime};
use crate::domain::viewer::Viewer;
use crate::model::Error;
use crate::model::clock::from_millis;
use crate::model::page::List;

/// What a feed says beside its posts.
#[derive(Debug, SimpleObject)]
pub struct FeedFields {
    pub built_at: DateTime,
    /// Whether the feed is being rebuilt; there may be more posts in a moment.
    pub rebuilding: bool,
    /// Whether a shard or the cache could not be read, so that posts may be missing.
    pub degraded: bool,
}

impl Extra for FeedFields {
    const NAME: Option<&'static str> = Some("FeedConnection");
}

pub type FeedConnection = Connection<Post, FeedFields>;

/// A page of the viewer's feed, the newest post first.
pub async fn of_viewer(
    ctx: &Context<'_>,
    viewer: &Viewer,
    first: Option<i32>,
    after: Option<&Cursor>,
) -> Result<FeedConnection, Error> {
    let page = forward(List::Feed, first, after)?;
    let feed = ctx.domain().read_feed(viewer, &page).await?;
    let fields = FeedFields {
        built_at: from_millis(feed.built_at).into(),
        rebuilding: feed.rebuilding,
        degraded: feed.degraded,
    };
    Ok(Connection::filled_with(ctx, List::Feed, feed.posts, fields))
}
