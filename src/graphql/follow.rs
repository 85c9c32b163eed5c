//! Who follows whom, as the viewer sees it.

use async_graphql::{ComplexObject, Context, Enum, ID, Object, Result, SimpleObject};

use super::context::ContextExt;
use super::loader::{IsFollower, MayMessage};
use super::nullable::{Nullable, nullable};
use super::page::{Connection, forward};
use super::scalar::Cursor;
use super::user::{self, User, UserPayload};
use crate::model::Error;
use crate::model::id::UserId;
use crate::model::page::List;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum FollowState {
    None,
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
pub async fn relationship(ctx: &Context<'_>, user: UserId) -> Result<Option<Relationship>, Error> {
    let Some(viewer) = ctx.viewer().filter(|viewer| viewer.user != user) else { return Ok(None) };
    let keys = [IsFollower(user, viewer.user), IsFollower(viewer.user, user)];
    let edges = ctx.loader().load_many(keys).await?;
    let follow = if edges.contains_key(&keys[0]) { FollowState::Following } else { FollowState::None };
    Ok(Some(Relationship { user, follow, followed_by: edges.contains_key(&keys[1]) }))
}

/// Who follows a user, the newest first.
pub async fn followers(
    ctx: &Context<'_>,
    user: UserId,
    first: Option<i32>,
    after: Option<&Cursor>,
) -> Result<Connection<User>, Error> {
    let page = forward(List::Followers, first, after)?;
    let users = ctx.domain().followers(ctx.viewer(), user, &page).await?;
    Ok(Connection::filled(ctx, List::Followers, users))
}

/// Whom a user follows, the newest first.
pub async fn following(
    ctx: &Context<'_>,
    user: UserId,
    first: Option<i32>,
    after: Option<&Cursor>,
) -> Result<Connection<User>, Error> {
    let page = forward(List::Following, first, after)?;
    let users = ctx.domain().following(ctx.viewer(), user, &page).await?;
    Ok(Connection::filled(ctx, List::Following, users))
}

#[derive(Default)]
pub struct FollowMutation;

#[Object]
impl FollowMutation {
    async fn follow_user(&self, ctx: &Context<'_>, id: ID) -> Nullable<UserPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let id = UserId::parse("id", &id)?;
            ctx.domain().follow_user(viewer, id).await?;
            user::payload(ctx, id).await
        })
        .await
    }

    async fn unfollow_user(&self, ctx: &Context<'_>, id: ID) -> Nullable<UserPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let id = UserId::parse("id", &id)?;
            ctx.domain().unfollow_user(viewer, id).await?;
            user::payload(ctx, id).await
        })
        .await
    }
}
