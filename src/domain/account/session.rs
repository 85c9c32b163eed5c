//! Sessions: one for each sign-in, refreshed by a token that changes each time.

pub mod revocation;

use std::net::IpAddr;
use std::sync::Arc;

use secrecy::SecretString;
use time::{Duration, OffsetDateTime};

use super::token::RefreshToken;
use crate::domain::viewer::Viewer;
use crate::domain::{Domain, text};
use crate::model::account::AccountState;
use crate::model::id::{SessionId, UserId};
use crate::model::{Error, Result};
use crate::store::{Tx, session, user};

/// How long the same refresh token gets the same successor: a phone that did not hear the answer asks
/// again. A later use counts as theft.
const REPEAT: Duration = Duration::seconds(10);
/// Characters of the text that names a device.
const DEVICE: usize = 100;
/// The most sessions that are listed.
const LISTED: u64 = 100;

/// Where a sign-in comes from.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    pub ip: Option<IpAddr>,
    pub user_agent: Option<String>,
    /// What the client calls the device, instead of its user agent.
    pub device: Option<String>,
}

impl Origin {
    fn ip(&self) -> Option<String> {
        self.ip.map(|ip| ip.to_canonical().to_string())
    }

    /// What names the device in the list of sessions. The user agent is cut and not refused, because
    /// nobody writes it by hand.
    pub(in crate::domain) fn device(&self) -> Result<Option<String>> {
        let named = text::optional_line("input.device", self.device.as_deref(), DEVICE)?;
        let agent = || {
            let agent: String =
                self.user_agent.as_deref()?.chars().filter(|each| !each.is_control()).take(DEVICE).collect();
            text::optional_line("input.device", Some(&agent), DEVICE).ok().flatten()
        };
        Ok(named.or_else(agent))
    }
}

/// What a sign-in, a sign-up and a refresh give.
#[derive(Debug, Clone)]
pub struct SignedIn {
    pub viewer: Viewer,
    pub user: Arc<user::Model>,
    pub access_token: SecretString,
    pub refresh_token: SecretString,
}

/// A session's row to be inserted, with the secret that is not stored.
pub(in crate::domain) struct Opening {
    pub row: session::Model,
    pub token: RefreshToken,
}

impl Domain {
    /// A new session of this user, not stored yet.
    pub(in crate::domain) fn open_session(&self, user: UserId, origin: &Origin) -> Result<Opening> {
        let now = self.clock.now();
        let id = SessionId::make(&self.clock, user.slot());
        let family_key: [u8; 32] = rand::random();
        let token = RefreshToken::first(id, &family_key);
        let row = session::Model {
            id: id.uuid(),
            user_id: user.uuid(),
            family_key: family_key.to_vec(),
            token_hash: token.hash().to_vec(),
            previous_hash: None,
            rotation_salt: None,
            rotated_at: None,
            device: origin.device()?,
            ip: origin.ip(),
            created_at: now,
            last_seen_at: now,
            expires_at: now + self.accounts.session_lifetime,
            revoked_at: None,
        };
        Ok(Opening { row, token })
    }

    /// The tokens of a stored session.
    pub(in crate::domain) fn signed_in(
        &self,
        user: Arc<user::Model>,
        token: &RefreshToken,
    ) -> Result<SignedIn> {
        let access = self.accounts.tokens.issue(user.id(), token.session)?;
        let viewer = Viewer { user: user.id(), session: token.session, expires_at: access.expires_at };
        Ok(SignedIn { viewer, user, access_token: access.text.into(), refresh_token: token.text() })
    }

    /// Changes a refresh token for the next one, and an access token. The same token again within 10 s
    /// gets the same next one; later, any token that the session once had ends the session, because one
    /// of two who have it is a thief. `TokenRevoked` for every token that is not good, for whatever
    /// reason: the way on is to sign in.
    pub async fn refresh(&self, token: &str, origin: &Origin) -> Result<SignedIn> {
        let token = RefreshToken::parse(token).ok_or(Error::TokenRevoked)?;
        let presented = &token;
        let outcome = self
            .store
            .tx(token.session.slot(), |tx| async move { self.refresh_in(&tx, presented, origin).await })
            .await?;
        match outcome {
            Refreshed::Next(user, next) => self.signed_in(Arc::new(*user), &next),
            Refreshed::Ended => {
                self.revoke_locally(token.session);
                Err(Error::TokenRevoked)
            }
        }
    }

    async fn refresh_in(&self, tx: &Tx, token: &RefreshToken, origin: &Origin) -> Result<Refreshed> {
        let mut row = session::lock(tx, token.session).await?.ok_or(Error::TokenRevoked)?;
        let now = self.clock.now();
        let next = match judge(&row, token, now) {
            Verdict::Refuse => return Err(Error::TokenRevoked),
            Verdict::Theft => {
                session::revoke(tx, row.user(), Some(row.id())).await?;
                tracing::warn!(session = %row.id(), "a used refresh token came again; the session is ended");
                return Ok(Refreshed::Ended);
            }
            Verdict::Rotate => {
                let salt: [u8; 32] = rand::random();
                let next = token.successor(&salt, &row.family_key);
                row.previous_hash = Some(std::mem::replace(&mut row.token_hash, next.hash().to_vec()));
                row.rotation_salt = Some(salt.to_vec());
                row.rotated_at = Some(now);
                row.last_seen_at = now;
                row.expires_at = now + self.accounts.session_lifetime;
                row.ip = origin.ip().or(row.ip);
                session::rotate(tx, &row).await?;
                next
            }
            Verdict::Repeat => token.successor(row.rotation_salt.as_deref().unwrap_or(&[]), &row.family_key),
        };
        let user = user::find(tx, row.user()).await?.ok_or(Error::TokenRevoked)?;
        if AccountState::of(user.state) == AccountState::Suspended {
            return Err(Error::AccountSuspended);
        }
        Ok(Refreshed::Next(Box::new(user), next))
    }

    /// The viewer's sessions that are in force, the one seen last first; at most 100.
    pub async fn sessions(&self, viewer: &Viewer) -> Result<Vec<session::Model>> {
        let now = self.clock.now();
        self.store
            .read(viewer.user.slot(), async |connection| {
                session::of_user(&connection, viewer.user, now, LISTED).await
            })
            .await
    }

    /// Ends this session, or all of the viewer's.
    pub async fn sign_out(&self, viewer: &Viewer, all: bool) -> Result<()> {
        self.end_sessions(viewer.user, if all { None } else { Some(viewer.session) }).await
    }

    /// Ends one of the viewer's sessions; one that has ended already is no error.
    pub async fn revoke_session(&self, viewer: &Viewer, id: SessionId) -> Result<()> {
        let owner =
            self.store.read(id.slot(), async |connection| session::owner(&connection, id).await).await?;
        if owner != Some(viewer.user) {
            return Err(Error::NotFound("session"));
        }
        self.end_sessions(viewer.user, Some(id)).await
    }

    /// Ends one session of the user or all: here at once, elsewhere when it is polled.
    pub(in crate::domain) async fn end_sessions(&self, user: UserId, only: Option<SessionId>) -> Result<()> {
        let ended =
            self.store.tx(user.slot(), |tx| async move { session::revoke(&tx, user, only).await }).await?;
        for session in ended {
            self.revoke_locally(session);
        }
        Ok(())
    }
}

enum Refreshed {
    Next(Box<user::Model>, RefreshToken),
    Ended,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The newest token: it is used now.
    Rotate,
    /// The one before, again and soon.
    Repeat,
    /// One that was used before.
    Theft,
    /// Made up, or of a session that is over.
    Refuse,
}

fn judge(row: &session::Model, token: &RefreshToken, now: OffsetDateTime) -> Verdict {
    if row.revoked_at.is_some() || row.expires_at <= now || !token.is_of_family(&row.family_key) {
        return Verdict::Refuse;
    }
    if token.matches(&row.token_hash) {
        return Verdict::Rotate;
    }
    let previous = row.previous_hash.as_deref().is_some_and(|hash| token.matches(hash));
    match row.rotated_at {
        Some(rotated_at) if previous && now - rotated_at <= REPEAT => Verdict::Repeat,
        _ => Verdict::Theft,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Clock;
    use crate::model::id::Slot;

    fn row(clock: &Clock) -> (session::Model, RefreshToken) {
        let slot = Slot::random();
        let id = SessionId::make(clock, slot);
        let token = RefreshToken::first(id, b"family");
        let now = clock.now();
        let row = session::Model {
            id: id.uuid(),
            user_id: UserId::make(clock, slot).uuid(),
            family_key: b"family".to_vec(),
            token_hash: token.hash().to_vec(),
            previous_hash: None,
            rotation_salt: None,
            rotated_at: None,
            device: None,
            ip: None,
            created_at: now,
            last_seen_at: now,
            expires_at: now + Duration::days(60),
            revoked_at: None,
        };
        (row, token)
    }

    #[test]
    fn a_token_is_good_once_and_for_ten_seconds_again() {
        let clock = Clock::system();
        let (mut row, first) = row(&clock);
        let now = clock.now();
        assert_eq!(judge(&row, &first, now), Verdict::Rotate);
        let second = first.successor(b"salt", b"family");
        row.previous_hash = Some(first.hash().to_vec());
        row.token_hash = second.hash().to_vec();
        row.rotated_at = Some(now);
        assert_eq!(judge(&row, &first, now + REPEAT), Verdict::Repeat);
        assert_eq!(judge(&row, &first, now + REPEAT + Duration::MILLISECOND), Verdict::Theft);
        assert_eq!(judge(&row, &second, now), Verdict::Rotate);
        row.previous_hash = Some(second.hash().to_vec());
        row.token_hash = second.successor(b"more", b"family").hash().to_vec();
        assert_eq!(judge(&row, &first, now), Verdict::Theft, "two steps back, however soon");
    }

    #[test]
    fn a_made_up_token_ends_nothing() {
        let clock = Clock::system();
        let (mut row, first) = row(&clock);
        let made_up = RefreshToken::first(first.session, b"guess");
        assert_eq!(judge(&row, &made_up, clock.now()), Verdict::Refuse);
        assert_eq!(judge(&row, &first, clock.now() + Duration::days(60)), Verdict::Refuse);
        row.revoked_at = Some(clock.now());
        assert_eq!(judge(&row, &first, clock.now()), Verdict::Refuse);
    }

    #[test]
    fn a_device_is_named_or_told_by_its_agent() {
        let origin = |device: Option<&str>, agent: Option<&str>| Origin {
            ip: None,
            user_agent: agent.map(str::to_owned),
            device: device.map(str::to_owned),
        };
        assert_eq!(origin(Some("Phone"), Some("UA")).device().expect("good").as_deref(), Some("Phone"));
        let long = "x".repeat(500);
        assert_eq!(origin(None, Some(&long)).device().expect("cut").map(|text| text.len()), Some(100));
        assert!(origin(Some(&long), None).device().is_err());
    }
}
