//! Signing up, in and out; the profile; finding users.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, Result, SimpleObject};
use secrecy::ExposeSecret;

use super::context::ContextExt;
use super::scalar::{DateTime, Url};
use super::user::{User, UserPayload};
use super::viewer::Viewer;
use crate::domain::Error;
use crate::domain::account::{NewAccount, ProfileChange};
use crate::domain::id::{MediaId, SessionId, UserId};
use crate::domain::patch::Patch;
use crate::domain::session::{Origin, SignedIn};

#[derive(InputObject)]
pub struct SignUpInput {
    email: String,
    username: String,
    password: String,
    full_name: Option<String>,
}

#[derive(InputObject)]
pub struct SignInInput {
    /// email or username
    login: String,
    password: String,
    device: Option<String>,
}

/// A field that is left out stays as it is; null clears it.
#[derive(InputObject)]
pub struct ProfileInput {
    username: MaybeUndefined<String>,
    full_name: MaybeUndefined<String>,
    bio: MaybeUndefined<String>,
    website: MaybeUndefined<Url>,
    avatar_id: MaybeUndefined<ID>,
}

#[derive(SimpleObject)]
pub struct AuthPayload {
    viewer: Viewer,
    access_token: String,
    access_expires_at: DateTime,
    refresh_token: String,
}

impl From<SignedIn> for AuthPayload {
    fn from(signed_in: SignedIn) -> Self {
        Self {
            access_expires_at: DateTime(signed_in.viewer.expires_at),
            viewer: Viewer { row: signed_in.user, viewer: signed_in.viewer },
            access_token: signed_in.access_token,
            refresh_token: signed_in.refresh_token.expose_secret().to_owned(),
        }
    }
}

#[derive(SimpleObject)]
pub struct OkPayload {
    pub ok: bool,
}

fn origin(ctx: &Context<'_>, device: Option<String>) -> Origin {
    let meta = &ctx.request().meta;
    Origin { ip: meta.ip, user_agent: meta.user_agent.clone(), device }
}

#[derive(Default)]
pub struct AccountQuery;

#[Object]
impl AccountQuery {
    /// the signed-in account; null when anonymous
    async fn viewer(&self, ctx: &Context<'_>) -> Result<Option<Viewer>> {
        let Some(viewer) = ctx.viewer() else { return Ok(None) };
        let row = ctx.domain().viewer_account(viewer).await?;
        Ok(Some(Viewer { row, viewer: viewer.clone() }))
    }

    /// by id or by username, exactly one
    async fn user(
        &self,
        ctx: &Context<'_>,
        id: Option<ID>,
        username: Option<String>,
    ) -> Result<Option<User>> {
        let row = match (id, username) {
            (Some(id), None) => ctx.domain().user_by_id(ctx.viewer(), UserId::parse("id", &id)?).await?,
            (None, Some(username)) => ctx.domain().user_by_name(ctx.viewer(), &username).await?,
            _ => return Err(Error::invalid("id", "or username must be given, and not both").into()),
        };
        Ok(row.map(|row| User { row }))
    }

    async fn is_username_available(&self, ctx: &Context<'_>, username: String) -> Result<Option<bool>> {
        Ok(Some(ctx.domain().is_username_available(ctx.viewer(), &username).await?))
    }
}

#[derive(Default)]
pub struct AccountMutation;

#[Object]
impl AccountMutation {
    async fn sign_up(&self, ctx: &Context<'_>, input: SignUpInput) -> Result<Option<AuthPayload>> {
        let account = NewAccount {
            email: input.email,
            username: input.username,
            password: input.password.into(),
            full_name: input.full_name,
        };
        Ok(Some(ctx.domain().sign_up(account, &origin(ctx, None)).await?.into()))
    }

    async fn sign_in(&self, ctx: &Context<'_>, input: SignInInput) -> Result<Option<AuthPayload>> {
        let origin = origin(ctx, input.device);
        Ok(Some(ctx.domain().sign_in(&input.login, input.password.into(), &origin).await?.into()))
    }

    async fn refresh_token(&self, ctx: &Context<'_>, refresh_token: String) -> Result<Option<AuthPayload>> {
        Ok(Some(ctx.domain().refresh(&refresh_token, &origin(ctx, None)).await?.into()))
    }

    async fn sign_out(
        &self,
        ctx: &Context<'_>,
        #[graphql(default_with = "Some(false)")] all_sessions: Option<bool>,
    ) -> Result<Option<OkPayload>> {
        ctx.domain().sign_out(ctx.require_viewer()?, all_sessions.unwrap_or(false)).await?;
        Ok(Some(OkPayload { ok: true }))
    }

    async fn revoke_session(&self, ctx: &Context<'_>, id: ID) -> Result<Option<OkPayload>> {
        let viewer = ctx.require_viewer()?;
        ctx.domain().revoke_session(viewer, SessionId::parse("id", &id)?).await?;
        Ok(Some(OkPayload { ok: true }))
    }

    async fn update_profile(&self, ctx: &Context<'_>, input: ProfileInput) -> Result<Option<UserPayload>> {
        let viewer = ctx.require_viewer()?;
        let change = ProfileChange {
            username: input.username.into(),
            full_name: input.full_name.into(),
            bio: input.bio.into(),
            website: Patch::from(input.website).try_map(|url| Ok::<_, Error>(url.0))?,
            avatar: Patch::from(input.avatar_id).try_map(|id| MediaId::parse("input.avatarId", &id))?,
        };
        let row = ctx.domain().update_profile(viewer, change).await?;
        Ok(Some(UserPayload { user: User { row } }))
    }
}
