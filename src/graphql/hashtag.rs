//! Hashtags.

use async_graphql::{Context, Object};

use super::context::ContextExt;
use super::nullable::{Nullable, nullable};
use super::page::{Connection, forward};
use super::post::Post;
use super::scalar::Cursor;
use crate::domain::post::hashtag::Tag;
use crate::model::page::List;

pub struct Hashtag {
    tag: Tag,
}

impl From<Tag> for Hashtag {
    fn from(tag: Tag) -> Self {
        Self { tag }
    }
}

/// A hashtag that is used in captions.
#[Object]
impl Hashtag {
    /// In lower case, without `#`.
    async fn name(&self) -> &str {
        self.tag.name()
    }

    async fn post_count(&self, ctx: &Context<'_>) -> Nullable<i32> {
        nullable(async { Ok(Some(ctx.domain().hashtag_posts(&self.tag).await?)) }).await
    }

    /// Newest first.
    async fn posts(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<Cursor>,
    ) -> Nullable<Connection<Post>> {
        nullable(async {
            let page = forward(List::PostsOfHashtag, first, after.as_ref())?;
            let posts = ctx.domain().posts_with(ctx.viewer(), &self.tag, &page).await?;
            Ok(Some(Connection::filled(ctx, List::PostsOfHashtag, posts)))
        })
        .await
    }
}

#[derive(Default)]
pub struct HashtagQuery;

#[Object]
impl HashtagQuery {
    /// A hashtag by its name, with or without `#`.
    async fn hashtag(&self, name: String) -> Nullable<Hashtag> {
        nullable(async { Ok(Some(Tag::parse("name", &name)?.into())) }).await
    }
}
