//! Sign-up: claim both names, insert the account, confirm the claims. Each step is one transaction on
//! one shard; a process may die after any of them, and the reconciler finishes or takes back the rest.

use std::sync::Arc;

use secrecy::SecretString;

use super::claim::Held;
use super::session::{Opening, Origin, SignedIn};
use super::{AccountState, Role, password};
use crate::domain::Domain;
use crate::domain::activity::Activity;
use crate::domain::text::{self, Email};
use crate::model::claim::Name;
use crate::model::contact::ContactPolicy;
use crate::model::id::{Slot, UserId};
use crate::model::{Error, Result};
use crate::store::{session, user};

/// Characters in a full name.
pub(super) const FULL_NAME: usize = 80;

/// What a stranger fills in.
#[derive(Debug)]
pub struct NewAccount {
    pub email: String,
    pub username: String,
    pub password: SecretString,
    pub full_name: Option<String>,
}

/// An account that is checked and made up, but not stored.
pub struct Draft {
    user: user::Model,
    username: Name,
    email: Name,
    password_hash: String,
    opening: Opening,
}

/// The claims of a sign-up under way.
#[derive(Debug)]
pub struct HeldNames {
    username: Held,
    email: Held,
}

impl Domain {
    /// Makes an account and its first session. `UsernameTaken` or `EmailTaken` for a name that somebody
    /// has or is about to have; `ShardUnavailable` where it is not known whether the account was made.
    pub async fn sign_up(&self, input: NewAccount, origin: &Origin) -> Result<SignedIn> {
        let draft = self.draft_account(input, origin).await?;
        let held = self.claim_names(&draft).await?;
        let signed_in = self.insert_account(&draft, &held).await?;
        Activity::SignUp.count();
        self.confirm_names(&held).await;
        Ok(signed_in)
    }

    /// The first step of a sign-up: checks all input and hashes the password.
    pub async fn draft_account(&self, input: NewAccount, origin: &Origin) -> Result<Draft> {
        let username = self.new_username("input.username", &input.username)?;
        let email = Email::parse("input.email", &input.email)?;
        let full_name = text::optional_line("input.fullName", input.full_name.as_deref(), FULL_NAME)?;
        let password = password::parse("input.password", &input.password)?;
        let mut about_user = vec![username.as_str().to_owned(), email.as_str().to_owned()];
        about_user.extend(full_name.clone());
        let password_hash = self.accounts.hasher.hash("input.password", password, about_user).await?;
        let id = UserId::make(&self.clock, Slot::random());
        let user = user::Model {
            id: id.uuid(),
            username: username.as_str().to_owned(),
            email: email.as_str().to_owned(),
            email_verified: false,
            full_name,
            bio: None,
            website: None,
            avatar_id: None,
            role: Role::User as i16,
            state: AccountState::Active as i16,
            is_verified: false,
            post_count: 0,
            follower_count: 0,
            following_count: 0,
            name_fence: 0,
            messages_from: ContactPolicy::Everyone as i16,
            is_private: false,
            created_at: self.clock.now(),
        };
        Ok(Draft {
            user,
            username: Name::username(&username),
            email: Name::email(&email),
            password_hash,
            opening: self.open_session(id, origin)?,
        })
    }

    /// The second step: claims both names, for a minute. Who gets only one gives it back at once.
    pub async fn claim_names(&self, draft: &Draft) -> Result<HeldNames> {
        let id = draft.user.id();
        let username = self.hold(&draft.username, id, None).await?;
        match self.hold(&draft.email, id, None).await {
            Ok(email) => Ok(HeldNames { username, email }),
            Err(error) => {
                self.release(&username).await;
                Err(error)
            }
        }
    }

    /// The third step, in which the account comes to be.
    pub async fn insert_account(&self, draft: &Draft, held: &HeldNames) -> Result<SignedIn> {
        let id = draft.user.id();
        let inserted = self
            .store
            .tx(id.slot(), |tx| async move {
                if !user::insert(&tx, draft.user.clone(), &draft.password_hash).await? {
                    return Ok(false);
                }
                session::insert(&tx, draft.opening.row.clone()).await?;
                Ok(true)
            })
            // After an error it is not known whether the account is there: the claims are left to the
            // reconciler, which looks.
            .await?;
        if !inserted {
            self.release(&held.username).await;
            self.release(&held.email).await;
            return Err(Error::Conflict("The sign-up took too long; try again."));
        }
        self.signed_in(Arc::new(draft.user.clone()), &draft.opening.token)
    }

    /// The last step. If this process dies before, the reconciler does it.
    pub async fn confirm_names(&self, held: &HeldNames) {
        futures_util::future::join(self.confirm(&held.username), self.confirm(&held.email)).await;
    }
}
