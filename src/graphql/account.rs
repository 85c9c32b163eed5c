//! Signing up, in and out; the profile; finding users.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};
use secrecy::ExposeSecret;

use super::context::ContextExt;
use super::nullable::{Nullable, nullable};
use super::scalar::{DateTime, Url};
use super::settings::SettingsInput;
use super::user::{User, UserPayload};
use super::viewer::Viewer;
use crate::domain::account::session::{Origin, SignedIn};
use crate::domain::account::{NewAccount, ProfileChange};
use crate::domain::patch::Patch;
use crate::model::Error;
use crate::model::id::{MediaId, SessionId, UserId};

#[derive(InputObject)]
pub struct SignUpInput {
    email: String,
    username: String,
    password: String,
    full_name: Option<String>,
}

#[derive(InputObject)]
pub struct SignInInput {
    /// The email address or the username.
    login: String,
    password: String,
    device: Option<String>,
}

/// Fields that are left out stay unchanged; null clears a field.
#[derive(InputObject)]
pub struct ProfileInput {
    username: MaybeUndefined<String>,
    full_name: MaybeUndefined<String>,
    bio: MaybeUndefined<String>,
    website: MaybeUndefined<Url>,
    avatar_id: MaybeUndefined<ID>,
    is_private: MaybeUndefined<bool>,
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
            viewer: Viewer::with(signed_in.viewer, signed_in.user),
            access_token: signed_in.access_token.expose_secret().to_owned(),
            refresh_token: signed_in.refresh_token.expose_secret().to_owned(),
        }
    }
}

#[derive(SimpleObject)]
pub struct ViewerPayload {
    viewer: Viewer,
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
    /// The signed-in account; null for anonymous callers.
    async fn viewer(&self, ctx: &Context<'_>) -> Option<Viewer> {
        ctx.viewer().cloned().map(Viewer::new)
    }

    /// A user by id or by username. Exactly one of them must be given.
    async fn user(&self, ctx: &Context<'_>, id: Option<ID>, username: Option<String>) -> Nullable<User> {
        nullable(async {
            let row = match (id, username) {
                (Some(id), None) => ctx.domain().user_by_id(ctx.viewer(), UserId::parse("id", &id)?).await?,
                (None, Some(username)) => ctx.domain().user_by_name(ctx.viewer(), &username).await?,
                _ => return Err(Error::invalid("id", "or username must be given, and not both")),
            };
            Ok(row.map(|row| User { row }))
        })
        .await
    }

    async fn is_username_available(&self, ctx: &Context<'_>, username: String) -> Nullable<bool> {
        Some(ctx.domain().is_username_available(ctx.viewer(), &username).await)
    }
}

#[derive(Default)]
pub struct AccountMutation;

#[Object]
impl AccountMutation {
    async fn sign_up(&self, ctx: &Context<'_>, input: SignUpInput) -> Nullable<AuthPayload> {
        let account = NewAccount {
            email: input.email,
            username: input.username,
            password: input.password.into(),
            full_name: input.full_name,
        };
        Some(ctx.domain().sign_up(account, &origin(ctx, None)).await.map(AuthPayload::from))
    }

    async fn sign_in(&self, ctx: &Context<'_>, input: SignInInput) -> Nullable<AuthPayload> {
        let origin = origin(ctx, input.device);
        let signed_in = ctx.domain().sign_in(&input.login, input.password.into(), &origin).await;
        Some(signed_in.map(AuthPayload::from))
    }

    /// Exchanges a refresh token for new tokens. Within 10 seconds the same token gets the same answer; used later, it
    /// ends the session.
    async fn refresh_token(&self, ctx: &Context<'_>, refresh_token: String) -> Nullable<AuthPayload> {
        Some(ctx.domain().refresh(&refresh_token, &origin(ctx, None)).await.map(AuthPayload::from))
    }

    async fn sign_out(
        &self,
        ctx: &Context<'_>,
        #[graphql(default_with = "Some(false)")] all_sessions: Option<bool>,
    ) -> Nullable<OkPayload> {
        nullable(async {
            ctx.domain().sign_out(ctx.require_viewer()?, all_sessions.unwrap_or(false)).await?;
            Ok(Some(OkPayload { ok: true }))
        })
        .await
    }

    async fn revoke_session(&self, ctx: &Context<'_>, id: ID) -> Nullable<OkPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            ctx.domain().revoke_session(viewer, SessionId::parse("id", &id)?).await?;
            Ok(Some(OkPayload { ok: true }))
        })
        .await
    }

    async fn update_profile(&self, ctx: &Context<'_>, input: ProfileInput) -> Nullable<UserPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let change = ProfileChange {
                username: input.username.into(),
                full_name: input.full_name.into(),
                bio: input.bio.into(),
                website: Patch::from(input.website).try_map(|url| Ok::<_, Error>(url.0))?,
                is_private: input.is_private.into(),
                avatar: Patch::from(input.avatar_id).try_map(|id| MediaId::parse("input.avatarId", &id))?,
            };
            let row = Box::pin(ctx.domain().update_profile(viewer, change)).await?;
            Ok(Some(UserPayload { user: User { row } }))
        })
        .await
    }

    async fn update_settings(&self, ctx: &Context<'_>, input: SettingsInput) -> Nullable<ViewerPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let row = ctx.domain().update_settings(viewer, input.into()).await?;
            Ok(Some(ViewerPayload { viewer: Viewer::with(viewer.clone(), row) }))
        })
        .await
    }
}
