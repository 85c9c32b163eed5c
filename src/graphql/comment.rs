//! Comments and replies.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, Result, SimpleObject};

use super::context::ContextExt;
use super::nullable::{Nullable, nullable};
use super::page::{Connection, forward};
use super::post::{self, Post};
use super::scalar::{Cursor, DateTime};
use super::user::{self, User};
use crate::domain::policy::VisiblePost;
use crate::domain::post::comment::NewComment;
use crate::model::Error;
use crate::model::id::{CommentId, PostId};
use crate::model::idempotency::IdempotencyKey;
use crate::model::idempotency::Request;
use crate::model::page::List;
use crate::store::comment::{Model, Order};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "Order")]
pub enum CommentOrder {
    Newest,
    Oldest,
}

pub struct Comment {
    pub row: Arc<Model>,
}

impl From<Arc<Model>> for Comment {
    fn from(row: Arc<Model>) -> Self {
        Self { row }
    }
}

/// The comment, if there is one that the viewer may see.
pub async fn load(ctx: &Context<'_>, id: CommentId) -> Result<Option<Comment>, Error> {
    Ok(ctx.loader().load_one(id).await?.map(Comment::from))
}

/// A post's comments, without the replies.
pub async fn of_post(
    ctx: &Context<'_>,
    seen: &VisiblePost,
    order: CommentOrder,
    first: Option<i32>,
    after: Option<&Cursor>,
) -> Result<Connection<Comment>, Error> {
    let page = forward(List::Comments, first, after)?;
    let comments = ctx.domain().comments(seen.post.id(), order.into(), &page).await?;
    Ok(Connection::new(List::Comments, comments.map(|(place, row)| (place, Some(Arc::new(row).into())))))
}

/// A comment on a post, or a reply to one.
#[Object]
impl Comment {
    pub async fn id(&self) -> ID {
        self.row.id.into()
    }

    async fn post(&self, ctx: &Context<'_>) -> Result<Post> {
        Ok(post::load(ctx, self.row.post()).await?.ok_or(Error::NotFound("post"))?)
    }

    async fn author(&self, ctx: &Context<'_>) -> Nullable<User> {
        nullable(async { user::load(ctx, self.row.author()).await }).await
    }

    async fn parent(&self, ctx: &Context<'_>) -> Nullable<Comment> {
        nullable(async {
            let Some(parent) = self.row.parent() else { return Ok(None) };
            load(ctx, parent).await
        })
        .await
    }

    async fn text(&self) -> &str {
        &self.row.text
    }

    async fn created_at(&self) -> DateTime {
        self.row.created_at.into()
    }

    async fn mentions(&self, ctx: &Context<'_>) -> Result<Vec<Option<User>>> {
        Ok(user::load_many(ctx, self.row.mentions().collect()).await?)
    }

    /// The replies, oldest first. A reply has no replies of its own.
    async fn replies(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 10)] first: Option<i32>,
        after: Option<Cursor>,
    ) -> Nullable<Connection<Comment>> {
        nullable(async {
            let page = forward(List::Replies, first.unwrap_or(10), after.as_ref())?;
            if self.row.reply_count == 0 {
                return Ok(Some(Connection::empty()));
            }
            let replies = ctx.domain().replies(self.row.id(), &page).await?;
            let replies = replies.map(|(place, row)| (place, Some(Arc::new(row).into())));
            Ok(Some(Connection::new(List::Replies, replies)))
        })
        .await
    }
}

#[derive(Debug, InputObject)]
pub struct CreateCommentInput {
    pub idempotency_key: ID,
    pub post_id: ID,
    pub parent_id: Option<ID>,
    pub text: String,
}

impl CreateCommentInput {
    fn parse(self) -> Result<(NewComment, Request), Error> {
        let parent = self.parent_id.map(|id| CommentId::parse("input.parentId", &id)).transpose()?;
        let post = PostId::parse("input.postId", &self.post_id)?;
        let new = NewComment { post, parent, text: self.text }.check()?;
        let key = IdempotencyKey::parse("input.idempotencyKey", &self.idempotency_key)?;
        let request = Request::new("createComment", key, &new)?;
        Ok((new, request))
    }
}

#[derive(SimpleObject)]
#[graphql(complex)]
pub struct CreateCommentPayload {
    pub comment: Comment,
    /// Whether an earlier request with the same key created the comment.
    pub replayed: bool,
}

#[ComplexObject]
impl CreateCommentPayload {
    async fn post(&self, ctx: &Context<'_>) -> Result<Post> {
        self.comment.post(ctx).await
    }
}

#[derive(Default)]
pub struct CommentQuery;

#[Object]
impl CommentQuery {
    async fn comment(&self, ctx: &Context<'_>, id: ID) -> Nullable<Comment> {
        nullable(async { load(ctx, CommentId::parse("id", &id)?).await }).await
    }
}

#[derive(Default)]
pub struct CommentMutation;

#[Object]
impl CommentMutation {
    async fn create_comment(
        &self,
        ctx: &Context<'_>,
        input: CreateCommentInput,
    ) -> Nullable<CreateCommentPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let (new, request) = input.parse()?;
            let made = ctx.domain().create_comment(viewer, new, request).await?;
            let comment = load(ctx, made.id).await?.ok_or(Error::NotFound("comment"))?;
            Ok(Some(CreateCommentPayload { comment, replayed: made.replayed }))
        })
        .await
    }
}
