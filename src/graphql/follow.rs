//! Who follows whom, as the viewer sees it.

use async_graphql::{ComplexObject, Context, Enum, ID, Object, Result, SimpleObject};

use super::context::ContextExt;
use super::loader::{HasAsked, IsFollower, MayMessage};
use super::nullable::{Nullable, nullable};
use super::page::{Connection, forward};
use super::scalar::Cursor;
use super::user::{self, User, UserPayload};
use crate::domain::viewer::Viewer;
use crate::model::id::UserId;
use crate::model::page::List;
use crate::model::{self, Error};
use crate::store::user::Model;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "model::follow::FollowState")]
pub enum FollowState {
    None,
    /// The account is private, and has not answered yet.
    Requested,
    Following,
}

/// The relationship between the viewer and another user.
#[derive(Debug, SimpleObject)]
#[graphql(complex)]
pub struct Relationship {
    #[graphql(skip)]
    user: UserId,
    /// Whether the viewer follows the user.
    pub follow: FollowState,
    pub followed_by: bool,
}

#[ComplexObject]
impl Relationship {
    /// Whether the viewer may start a conversation with the user. Replies to the user are always allowed.
    async fn can_message(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(ctx.loader().load_one(MayMessage(self.user)).await?.is_some())
    }
}

/// The viewer's relationship with the user; null for the viewer's own account and for anonymous callers.
pub async fn relationship(ctx: &Context<'_>, user: &Model) -> Result<Option<Relationship>, Error> {
    let (user, is_private) = (user.id(), user.is_private);
    let Some(viewer) = ctx.viewer().filter(|viewer| viewer.user != user) else { return Ok(None) };
    let keys = [IsFollower(user, viewer.user), IsFollower(viewer.user, user)];
    let (edges, asked) = tokio::try_join!(ctx.loader().load_many(keys), async {
        // Only private accounts are asked.
        Ok(is_private && ctx.loader().load_one(HasAsked(user, viewer.user)).await?.is_some())
    })?;
    let follow = model::follow::FollowState::of(edges.contains_key(&keys[0]), asked).into();
    Ok(Some(Relationship { user, follow, followed_by: edges.contains_key(&keys[1]) }))
}

/// Who has asked to follow the viewer, the newest first.
pub async fn requests(
    ctx: &Context<'_>,
    viewer: &Viewer,
    first: Option<i32>,
    after: Option<&Cursor>,
) -> Result<Connection<User>, Error> {
    let page = forward(List::FollowRequests, first, after)?;
    let users = ctx.domain().follow_requests(viewer, &page).await?;
    Ok(Connection::filled(ctx, List::FollowRequests, users))
}

/// Who follows a user, the newest first; none if the viewer may not see that.
pub async fn followers(
    ctx: &Context<'_>,
    user: UserId,
    first: Option<i32>,
    after: Option<&Cursor>,
) -> Result<Option<Connection<User>>, Error> {
    let page = forward(List::Followers, first, after)?;
    let users = ctx.domain().followers(ctx.viewer(), user, &page).await?;
    Ok(users.map(|users| Connection::filled(ctx, List::Followers, users)))
}

/// Whom a user follows, the newest first; none if the viewer may not see that.
pub async fn following(
    ctx: &Context<'_>,
    user: UserId,
    first: Option<i32>,
    after: Option<&Cursor>,
) -> Result<Option<Connection<User>>, Error> {
    let page = forward(List::Following, first, after)?;
    let users = ctx.domain().following(ctx.viewer(), user, &page).await?;
    Ok(users.map(|users| Connection::filled(ctx, List::Following, users)))
}

#[derive(Default)]
pub struct FollowMutation;

#[Object]
impl FollowMutation {
    /// Follows a user. The follow of a private account is a request until it is accepted.
    async fn follow_user(&self, ctx: &Context<'_>, id: ID) -> Nullable<UserPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let id = UserId::parse("id", &id)?;
            ctx.domain().follow_user(viewer, id).await?;
            user::payload(ctx, id).await
        })
        .await
    }

    /// Ends the follow of a user, or takes the request back.
    async fn unfollow_user(&self, ctx: &Context<'_>, id: ID) -> Nullable<UserPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let id = UserId::parse("id", &id)?;
            ctx.domain().unfollow_user(viewer, id).await?;
            user::payload(ctx, id).await
        })
        .await
    }

    /// Takes a follower of the viewer away, who is not told.
    async fn remove_follower(&self, ctx: &Context<'_>, id: ID) -> Nullable<UserPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let id = UserId::parse("id", &id)?;
            ctx.domain().remove_follower(viewer, id).await?;
            user::payload(ctx, id).await
        })
        .await
    }

    /// Accepts a request to follow the viewer, or refuses it.
    async fn answer_follow_request(
        &self,
        ctx: &Context<'_>,
        user_id: ID,
        accept: bool,
    ) -> Nullable<UserPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let id = UserId::parse("userId", &user_id)?;
            ctx.domain().answer_follow_request(viewer, id, accept).await?;
            user::payload(ctx, id).await
        })
        .await
    }
}
