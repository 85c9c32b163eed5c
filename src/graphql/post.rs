//! Posts and likes.

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, Result, SimpleObject};

use super::comment::{self, Comment, CommentOrder};
use super::context::ContextExt;
use super::conversation::Conversation;
use super::hashtag::Hashtag;
use super::loader::IsLiked;
use super::media::{self, Media};
use super::nullable::{Nullable, nullable};
use super::page::{Connection, forward};
use super::scalar::{Cursor, DateTime};
use super::user::{self, User};
use crate::domain::policy::VisiblePost;
use crate::domain::post::hashtag::Tag;
use crate::domain::post::{NewPost, PostChange};
use crate::model::Error;
use crate::model::contact;
use crate::model::id::{ConversationId, MediaId, PostId};
use crate::model::idempotency::IdempotencyKey;
use crate::model::idempotency::Request;
use crate::model::page::List;

/// Who may comment on a post, or write a direct message to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "contact::ContactPolicy")]
pub enum ContactPolicy {
    Everyone,
    Followers,
    Nobody,
}

#[derive(Clone)]
pub struct Post {
    pub seen: VisiblePost,
}

impl From<VisiblePost> for Post {
    fn from(seen: VisiblePost) -> Self {
        Self { seen }
    }
}

/// The post, if there is one that the viewer may see.
pub async fn load(ctx: &Context<'_>, id: PostId) -> Result<Option<Post>, Error> {
    Ok(ctx.loader().load_one(id).await?.map(Post::from))
}

/// The post that a mutation has just written.
pub async fn reload(ctx: &Context<'_>, id: PostId) -> Result<Post, Error> {
    ctx.domain().require_post(ctx.viewer(), id).await.map(Post::from)
}

/// A user's posts, the newest first; none if the viewer may not see them.
pub async fn of_user(
    ctx: &Context<'_>,
    author: crate::model::id::UserId,
    first: Option<i32>,
    after: Option<&Cursor>,
) -> Result<Option<Connection<Post>>, Error> {
    let page = forward(List::PostsOfUser, first, after)?;
    let posts = ctx.domain().posts_of(ctx.viewer(), author, &page).await?;
    Ok(posts.map(|posts| Connection::filled(ctx, List::PostsOfUser, posts)))
}

/// One or more images with a caption.
#[Object]
impl Post {
    pub async fn id(&self) -> ID {
        self.seen.post.id.into()
    }

    async fn author(&self) -> User {
        self.seen.author.clone().into()
    }

    async fn caption(&self) -> Option<&str> {
        self.seen.post.caption.as_deref()
    }

    async fn location(&self) -> Option<&str> {
        self.seen.post.location.as_deref()
    }

    async fn media(&self, ctx: &Context<'_>) -> Result<Vec<Media>> {
        Ok(media::load(ctx, self.seen.post.media().collect()).await?)
    }

    async fn sensitive(&self) -> bool {
        self.seen.post.sensitive
    }

    async fn comment_policy(&self) -> ContactPolicy {
        contact::ContactPolicy::from_row(self.seen.post.comment_policy).into()
    }

    async fn likes_disabled(&self) -> bool {
        self.seen.post.likes_disabled
    }

    async fn created_at(&self) -> DateTime {
        self.seen.post.created_at.into()
    }

    async fn edited_at(&self) -> Option<DateTime> {
        self.seen.post.edited_at.map(DateTime)
    }

    async fn like_count(&self) -> i32 {
        self.seen.post.like_count
    }

    async fn comment_count(&self) -> i32 {
        self.seen.post.comment_count
    }

    /// Whether the viewer likes the post; null for anonymous callers.
    async fn viewer_has_liked(&self, ctx: &Context<'_>) -> Nullable<bool> {
        nullable(async {
            let Some(viewer) = ctx.viewer() else { return Ok(None) };
            let liked = ctx.loader().load_one(IsLiked(self.seen.post.id(), viewer.user)).await?;
            Ok(Some(liked.is_some()))
        })
        .await
    }

    async fn hashtags(&self) -> Vec<Hashtag> {
        self.seen.post.hashtags.iter().cloned().map(|name| Tag::from_row(name).into()).collect()
    }

    async fn mentions(&self, ctx: &Context<'_>) -> Result<Vec<Option<User>>> {
        Ok(user::load_many(ctx, self.seen.post.mentions().collect()).await?)
    }

    async fn comments(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<Cursor>,
        #[graphql(default_with = "Some(CommentOrder::Newest)")] order: Option<CommentOrder>,
    ) -> Nullable<Connection<Comment>> {
        let order = order.unwrap_or(CommentOrder::Newest);
        nullable(async { Ok(Some(comment::of_post(ctx, &self.seen, order, first, after.as_ref()).await?)) })
            .await
    }

    async fn likers(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 20)] first: Option<i32>,
        after: Option<Cursor>,
    ) -> Nullable<Connection<User>> {
        nullable(async {
            let page = forward(List::LikesOfPost, first, after.as_ref())?;
            let users = ctx.domain().likers(ctx.viewer(), self.seen.post.id(), &page).await?;
            Ok(Some(Connection::filled(ctx, List::LikesOfPost, users)))
        })
        .await
    }

    /// The message thread of the post; null if the viewer may not see it.
    async fn conversation(&self, ctx: &Context<'_>) -> Nullable<Conversation> {
        nullable(async {
            let thread = ConversationId::of_post(self.seen.post.id());
            super::conversation::load(ctx, thread).await
        })
        .await
    }
}

#[derive(Debug, InputObject)]
pub struct CreatePostInput {
    pub idempotency_key: ID,
    /// 1 to 10 of the viewer's images, which must be ready and not used elsewhere.
    pub media_ids: Vec<ID>,
    pub caption: Option<String>,
    pub location: Option<String>,
    #[graphql(default_with = "Some(ContactPolicy::Everyone)")]
    pub comment_policy: Option<ContactPolicy>,
    #[graphql(default_with = "Some(false)")]
    pub likes_disabled: Option<bool>,
    #[graphql(default_with = "Some(false)")]
    pub sensitive: Option<bool>,
}

impl CreatePostInput {
    fn parse(&self) -> Result<(NewPost, Request), Error> {
        let ids = self.media_ids.iter().take(crate::domain::post::MAX_MEDIA + 1);
        let media = ids.map(|id| MediaId::parse("input.mediaIds", id)).collect::<Result<_, _>>()?;
        let new = NewPost {
            media,
            caption: self.caption.clone(),
            location: self.location.clone(),
            comment_policy: self.comment_policy.unwrap_or(ContactPolicy::Everyone).into(),
            likes_disabled: self.likes_disabled.unwrap_or(false),
            sensitive: self.sensitive.unwrap_or(false),
        };
        let new = new.check()?;
        let key = IdempotencyKey::parse("input.idempotencyKey", &self.idempotency_key)?;
        let request = Request::new("createPost", key, &new)?;
        Ok((new, request))
    }
}

#[derive(Debug, InputObject)]
pub struct UpdatePostInput {
    pub id: ID,
    pub caption: MaybeUndefined<String>,
    pub location: MaybeUndefined<String>,
    pub comment_policy: Option<ContactPolicy>,
    pub likes_disabled: Option<bool>,
    pub sensitive: Option<bool>,
}

impl UpdatePostInput {
    fn parse(self) -> Result<(PostId, PostChange), Error> {
        let id = PostId::parse("input.id", &self.id)?;
        let change = PostChange {
            caption: self.caption.into(),
            location: self.location.into(),
            comment_policy: self.comment_policy.map(Into::into),
            likes_disabled: self.likes_disabled,
            sensitive: self.sensitive,
        };
        Ok((id, change.check()?))
    }
}

#[derive(SimpleObject)]
pub struct CreatePostPayload {
    pub post: Post,
    /// Whether an earlier request with the same key created the post.
    pub replayed: bool,
}

#[derive(SimpleObject)]
pub struct PostPayload {
    pub post: Post,
}

#[derive(Debug, SimpleObject)]
pub struct DeletedPayload {
    pub deleted_id: ID,
}

#[derive(Default)]
pub struct PostQuery;

#[Object]
impl PostQuery {
    async fn post(&self, ctx: &Context<'_>, id: ID) -> Nullable<Post> {
        nullable(async { load(ctx, PostId::parse("id", &id)?).await }).await
    }
}

#[derive(Default)]
pub struct PostMutation;

#[Object]
impl PostMutation {
    async fn create_post(&self, ctx: &Context<'_>, input: CreatePostInput) -> Nullable<CreatePostPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let (new, request) = input.parse()?;
            let made = ctx.domain().create_post(viewer, new, request).await?;
            let post = reload(ctx, made.id).await?;
            Ok(Some(CreatePostPayload { post, replayed: made.replayed }))
        })
        .await
    }

    async fn update_post(&self, ctx: &Context<'_>, input: UpdatePostInput) -> Nullable<PostPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let (id, change) = input.parse()?;
            ctx.domain().update_post(viewer, id, &change).await?;
            Ok(Some(PostPayload { post: reload(ctx, id).await? }))
        })
        .await
    }

    async fn delete_post(&self, ctx: &Context<'_>, id: ID) -> Nullable<DeletedPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let id = PostId::parse("id", &id)?;
            ctx.domain().delete_post(viewer, id).await?;
            Ok(Some(DeletedPayload { deleted_id: id.uuid().into() }))
        })
        .await
    }

    async fn like_post(&self, ctx: &Context<'_>, id: ID) -> Nullable<PostPayload> {
        nullable(async { set_like(ctx, &id, true).await }).await
    }

    async fn unlike_post(&self, ctx: &Context<'_>, id: ID) -> Nullable<PostPayload> {
        nullable(async { set_like(ctx, &id, false).await }).await
    }
}

async fn set_like(ctx: &Context<'_>, id: &ID, active: bool) -> Result<Option<PostPayload>, Error> {
    let viewer = ctx.require_viewer()?;
    let id = PostId::parse("id", id)?;
    ctx.domain().set_like(viewer, id, active).await?;
    Ok(Some(PostPayload { post: reload(ctx, id).await? }))
}
