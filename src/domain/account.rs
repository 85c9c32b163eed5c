//! Accounts: identity, credentials and state.

pub mod claim;
pub mod password;
mod profile;
pub mod session;
mod settings;
mod sign_up;
pub mod staff;
pub mod token;

use std::sync::Arc;

use secrecy::SecretString;
use time::Duration;

pub use profile::ProfileChange;
pub use settings::SettingsChange;
pub use sign_up::{Draft, HeldNames, NewAccount};

use super::text::{Email, Username};
use super::viewer::Viewer;
use super::{Domain, policy};
use crate::config::AccountConfig;
use crate::model::account::{AccountState, Role};
use crate::model::claim::Name;
use crate::model::id::UserId;
use crate::model::{Clock, Error, Result};
use crate::store::{self, user};
use password::Hasher;
use session::revocation::Revocations;
use session::{Origin, SignedIn};
use token::Tokens;

/// What the rules about accounts work with, one for a process.
pub struct Accounts {
    pub hasher: Hasher,
    pub tokens: Tokens,
    pub revocations: Revocations,
    /// How long a session lasts without use.
    pub session_lifetime: Duration,
    /// Reserved usernames of this installation, beside the built-in ones.
    pub reserved_usernames: Vec<String>,
}

impl Accounts {
    /// Reads the signing key; an error is one line that names the setting. `shards` is how many there are.
    pub fn new(config: &AccountConfig, clock: Clock, shards: usize) -> anyhow::Result<Self> {
        let tokens = Tokens::open(&config.token_key_file, config.access_token_seconds, clock)?;
        Ok(Self {
            hasher: Hasher::new(config.password_hashers),
            revocations: Revocations::new(tokens.lifetime_ms(), shards),
            tokens,
            session_lifetime: Duration::days(i64::from(config.session_days)),
            reserved_usernames: config.reserved_usernames.clone(),
        })
    }
}

impl Domain {
    /// Signs in by username or e-mail address. `InvalidCredentials` does not say which of the two is wrong,
    /// neither by its text nor by its time.
    pub async fn sign_in(&self, login: &str, password: SecretString, origin: &Origin) -> Result<SignedIn> {
        let name = login_name(login);
        let found = match &name {
            Some(name) => self.named(name).await?,
            None => None,
        };
        let hash = match &found {
            Some(user) => {
                let id = user.id();
                self.store
                    .read(id.slot(), async |connection| user::password_hash(&connection, id).await)
                    .await?
            }
            None => None,
        };
        let correct = self.accounts.hasher.verify(password, hash).await?;
        let Some(found) = found.filter(|_| correct) else { return Err(Error::InvalidCredentials) };
        let id = found.id();
        let opening = self.open_session(id, origin)?;
        let row = &opening.row;
        let user = self
            .store
            .tx(id.slot(), |tx| async move {
                // Locked, so that a suspension that ends all sessions does not miss this one.
                let user = user::lock(&tx, id).await?.ok_or(Error::InvalidCredentials)?;
                if AccountState::of(user.state) == AccountState::Suspended {
                    return Err(Error::AccountSuspended);
                }
                store::session::remove_lapsed(&tx, id, row.created_at).await?;
                store::session::insert(&tx, row.clone()).await?;
                Ok(user)
            })
            .await?;
        self.signed_in(Arc::new(user), &opening.token)
    }

    /// The viewer's own row.
    pub async fn viewer_account(&self, viewer: &Viewer) -> Result<Arc<user::Model>> {
        self.tables.users.get(viewer.user).await?.ok_or(Error::Unauthenticated)
    }

    /// The user with this id, if there is one whom the viewer may see.
    pub async fn user_by_id(&self, viewer: Option<&Viewer>, id: UserId) -> Result<Option<Arc<user::Model>>> {
        let user = self.tables.users.get(id).await?;
        Ok(user.filter(|user| policy::sees_user(viewer, user)))
    }

    /// The user with this name, if there is one whom the viewer may see. A text that can't be a name is
    /// nobody's.
    pub async fn user_by_name(
        &self,
        viewer: Option<&Viewer>,
        username: &str,
    ) -> Result<Option<Arc<user::Model>>> {
        let Ok(username) = Username::parse("username", username) else { return Ok(None) };
        let user = self.named(&Name::username(&username)).await?;
        Ok(user.filter(|user| policy::sees_user(viewer, user)))
    }

    /// Parses a name for a new account or a change of name.
    pub(super) fn new_username(&self, field: &'static str, text: &str) -> Result<Username> {
        Username::parse_new(field, text, &self.accounts.reserved_usernames)
    }

    /// Whether the viewer, or a stranger, could take this name now.
    pub async fn is_username_available(&self, viewer: Option<&Viewer>, username: &str) -> Result<bool> {
        let username = match self.new_username("username", username) {
            Err(Error::UsernameTaken) => return Ok(false),
            username => username?,
        };
        self.is_free(&Name::username(&username), viewer.map(|viewer| viewer.user)).await
    }
}

fn login_name(login: &str) -> Option<Name> {
    // A name may be typed with the sign of a mention.
    match Username::parse("input.login", login) {
        Ok(username) => Some(Name::username(&username)),
        Err(_) => Email::parse("input.login", login).ok().map(|email| Name::email(&email)),
    }
}
