//! Access tokens, which are signed and verified without a read, and refresh tokens, which are secrets
//! that only their holder knows.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use metrics::Counter;
use moka::sync::Cache;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::viewer::Viewer;
use crate::model::id::{SessionId, UserId};
use crate::model::{Clock, Error, Result};

const ISSUER: &str = "fowergram";
/// How many verified tokens are remembered: a verification costs more than the rest of a fast request.
const VERIFIED: u64 = 100_000;
/// A token of ours has some 350 bytes.
const LONGEST: usize = 2048;

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: Uuid,
    sid: Uuid,
    iat: i64,
    exp: i64,
}

/// A new access token.
#[derive(Debug, Clone)]
pub struct AccessToken {
    pub text: String,
    pub expires_at: OffsetDateTime,
}

/// Names a token that was verified: its whole text's SHA-256, so that no two are confused.
pub type TokenDigest = [u8; 32];

/// Signs and verifies access tokens: JWTs with `EdDSA`.
pub struct Tokens {
    clock: Clock,
    lifetime_seconds: i64,
    key_id: String,
    signing: EncodingKey,
    verifying: DecodingKey,
    validation: Validation,
    jwks: serde_json::Value,
    verified: Cache<TokenDigest, Arc<Viewer>>,
    hits: Counter,
    misses: Counter,
}

impl Tokens {
    /// Reads the signing key. The error is one line that names the setting.
    pub fn open(key_file: &Path, lifetime_seconds: u32, clock: Clock) -> anyhow::Result<Self> {
        let pem = std::fs::read_to_string(key_file)
            .map(Zeroizing::new)
            .with_context(|| format!("TOKEN_KEY_FILE: can't read {}", key_file.display()))?;
        Self::from_pem(&pem, lifetime_seconds, clock).map_err(|cause| {
            anyhow::anyhow!(
                "TOKEN_KEY_FILE: {} has no Ed25519 key in PKCS#8 PEM: {cause}",
                key_file.display()
            )
        })
    }

    fn from_pem(pem: &str, lifetime_seconds: u32, clock: Clock) -> anyhow::Result<Self> {
        let key = SigningKey::from_pkcs8_pem(pem)?;
        let public = BASE64.encode(key.verifying_key().as_bytes());
        // RFC 7638: the hash of the key's required members, in this order.
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{public}"}}"#);
        let key_id = BASE64.encode(Sha256::digest(members));
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        // Checked below against the clock that can be set.
        validation.validate_exp = false;
        Ok(Self {
            clock,
            lifetime_seconds: i64::from(lifetime_seconds),
            signing: EncodingKey::from_ed_pem(pem.as_bytes())?,
            verifying: DecodingKey::from_ed_components(&public)?,
            validation,
            jwks: serde_json::json!({ "keys": [{
                "kty": "OKP", "crv": "Ed25519", "x": public, "kid": key_id, "alg": "EdDSA", "use": "sig",
            }] }),
            key_id,
            hits: lookups("hit"),
            misses: lookups("miss"),
            verified: Cache::builder()
                .max_capacity(VERIFIED)
                .time_to_live(std::time::Duration::from_secs(u64::from(lifetime_seconds.max(1))))
                .build(),
        })
    }

    /// The public keys, for `/.well-known/jwks.json`.
    pub fn jwks(&self) -> &serde_json::Value {
        &self.jwks
    }

    /// How long an access token is good, in milliseconds.
    pub fn lifetime_ms(&self) -> i64 {
        self.lifetime_seconds * 1000
    }

    /// A token for this session, good from now on.
    pub fn issue(&self, user: UserId, session: SessionId) -> Result<AccessToken> {
        let iat = self.clock.unix_millis() / 1000;
        let exp = iat + self.lifetime_seconds;
        let claims = Claims { iss: ISSUER.to_owned(), sub: user.uuid(), sid: session.uuid(), iat, exp };
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.key_id.clone());
        let text = jsonwebtoken::encode(&header, &claims, &self.signing).map_err(Error::internal)?;
        Ok(AccessToken { text, expires_at: crate::model::clock::from_millis(exp * 1000) })
    }

    /// Whom the token names: signature and expiry are right. Says nothing about the session.
    pub fn verify(&self, text: &str) -> Result<Viewer> {
        if text.len() > LONGEST {
            return Err(Error::Unauthenticated);
        }
        let token = jsonwebtoken::decode::<Claims>(text, &self.verifying, &self.validation)
            .map_err(|_| Error::Unauthenticated)?;
        if token.header.kid.as_deref() != Some(&self.key_id) {
            return Err(Error::Unauthenticated);
        }
        let viewer = Viewer {
            user: UserId::try_from(token.claims.sub).map_err(|_| Error::Unauthenticated)?,
            session: SessionId::try_from(token.claims.sid).map_err(|_| Error::Unauthenticated)?,
            expires_at: OffsetDateTime::from_unix_timestamp(token.claims.exp)
                .map_err(|_| Error::Unauthenticated)?,
        };
        if viewer.expires_at <= self.clock.now() { Err(Error::TokenExpired) } else { Ok(viewer) }
    }

    /// Finds a token that was verified before; `TokenExpired` where it was, and no longer is good.
    pub fn recall(&self, digest: &TokenDigest) -> Result<Option<Arc<Viewer>>> {
        let found = self.verified.get(digest);
        if found.is_some() { &self.hits } else { &self.misses }.increment(1);
        match found {
            Some(viewer) if viewer.expires_at <= self.clock.now() => Err(Error::TokenExpired),
            found => Ok(found),
        }
    }

    /// Remembers a verified token of a session that is in force.
    pub fn remember(&self, digest: TokenDigest, viewer: Arc<Viewer>) {
        self.verified.insert(digest, viewer);
    }
}

/// Counts lookups in the cache of verified tokens.
fn lookups(outcome: &'static str) -> Counter {
    metrics::counter!("fowergram_cache_requests_total", "cache" => "token", "outcome" => outcome)
}

/// The name of a token in the cache.
pub fn digest(text: &str) -> TokenDigest {
    Sha256::digest(text).into()
}

const SECRET: usize = 32;
const TAG: usize = 16;

/// What a session is refreshed with: `base64url(session id || secret || tag)`. Only the secret's SHA-256
/// is stored. The tag, a MAC under the family's key, tells a token that this session once had from one
/// that somebody made up: the one is a theft, the other is noise and must not sign anybody out.
pub struct RefreshToken {
    pub session: SessionId,
    secret: Zeroizing<[u8; SECRET]>,
    tag: [u8; TAG],
}

impl RefreshToken {
    /// The first token of a new session.
    pub fn first(session: SessionId, family_key: &[u8]) -> Self {
        Self::new(session, rand::random(), family_key)
    }

    fn new(session: SessionId, secret: [u8; SECRET], family_key: &[u8]) -> Self {
        Self { session, secret: Zeroizing::new(secret), tag: tag(session, &secret, family_key) }
    }

    /// Reads a token that a client sent, without the white space that comes along where it was kept in a
    /// file; `None` for what is none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() != ((16 + SECRET + TAG) * 4).div_ceil(3) {
            return None;
        }
        let bytes = Zeroizing::new(BASE64.decode(text).ok()?);
        let (id, rest) = bytes.split_at(16);
        let (secret, tag) = rest.split_at(SECRET);
        Some(Self {
            session: SessionId::try_from(Uuid::from_slice(id).ok()?).ok()?,
            secret: Zeroizing::new(secret.try_into().ok()?),
            tag: tag.try_into().ok()?,
        })
    }

    /// As the client gets it.
    pub fn text(&self) -> SecretString {
        let mut bytes = Zeroizing::new(self.session.uuid().as_bytes().to_vec());
        bytes.extend_from_slice(self.secret.as_slice());
        bytes.extend_from_slice(&self.tag);
        BASE64.encode(bytes.as_slice()).into()
    }

    /// As it is stored.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret.as_slice()).into()
    }

    /// Whether this is the token with the stored hash.
    pub fn matches(&self, hash: &[u8]) -> bool {
        self.hash().ct_eq(hash).into()
    }

    /// Whether this token is, or once was, one of the session with this key.
    pub fn is_of_family(&self, family_key: &[u8]) -> bool {
        self.tag.ct_eq(&tag(self.session, &self.secret, family_key)).into()
    }

    /// The next token. Who has this token and the salt always gets the same, so that it needs no storing.
    #[must_use]
    pub fn successor(&self, salt: &[u8], family_key: &[u8]) -> Self {
        Self::new(self.session, hmac(self.secret.as_slice(), &[salt]), family_key)
    }
}

fn tag(session: SessionId, secret: &[u8; SECRET], family_key: &[u8]) -> [u8; TAG] {
    let mac = hmac(family_key, &[session.uuid().as_bytes(), secret]);
    let mut tag = [0; TAG];
    tag.copy_from_slice(&mac[..TAG]);
    tag
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Two refresh tokens are the same when their texts are.
impl PartialEq for RefreshToken {
    fn eq(&self, other: &Self) -> bool {
        self.text().expose_secret() == other.text().expose_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::Slot;

    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

    fn tokens(clock: &Clock) -> Tokens {
        Tokens::from_pem(KEY, 900, clock.clone()).expect("a key")
    }

    fn ids(clock: &Clock) -> (UserId, SessionId) {
        (UserId::make(clock, Slot::random()), SessionId::make(clock, Slot::random()))
    }

    #[test]
    fn a_token_names_its_session_until_it_expires() {
        let clock = Clock::system();
        let tokens = tokens(&clock);
        let (user, session) = ids(&clock);
        let token = tokens.issue(user, session).expect("issued");
        let viewer = tokens.verify(&token.text).expect("verified");
        assert_eq!((viewer.user, viewer.session), (user, session));
        assert_eq!(viewer.expires_at, token.expires_at);
        tokens.remember(digest(&token.text), Arc::new(viewer));
        assert!(tokens.recall(&digest(&token.text)).expect("good").is_some());
        clock.advance(time::Duration::seconds(901));
        assert!(matches!(tokens.verify(&token.text), Err(Error::TokenExpired)));
        assert!(matches!(tokens.recall(&digest(&token.text)), Err(Error::TokenExpired)));
    }

    #[test]
    fn a_changed_or_foreign_token_is_refused() {
        let clock = Clock::system();
        let tokens = tokens(&clock);
        let (user, session) = ids(&clock);
        let text = tokens.issue(user, session).expect("issued").text;
        let mut parts: Vec<&str> = text.split('.').collect();
        let unsigned = BASE64.encode(r#"{"alg":"none","typ":"JWT"}"#);
        let symmetric = BASE64.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        for header in [&unsigned, &symmetric] {
            parts[0] = header;
            assert!(matches!(tokens.verify(&parts.join(".")), Err(Error::Unauthenticated)));
        }
        let other = Tokens::from_pem(&KEY.replace("cr", "Cr"), 900, clock.clone()).expect("another key");
        let foreign = other.issue(user, session).expect("issued").text;
        for bad in ["", "a.b.c", &text[..text.len() - 4], &foreign, &"x".repeat(10_000)] {
            assert!(matches!(tokens.verify(bad), Err(Error::Unauthenticated)), "{bad}");
        }
    }

    #[test]
    fn a_refresh_token_has_one_successor_and_knows_its_family() {
        let (_, session) = ids(&Clock::system());
        let first = RefreshToken::first(session, b"family");
        let read = RefreshToken::parse(first.text().expose_secret()).expect("its own text");
        assert!(read == first && read.matches(&first.hash()) && read.is_of_family(b"family"));
        let next = read.successor(b"salt", b"family");
        assert!(next == first.successor(b"salt", b"family"));
        assert!(next != first.successor(b"other", b"family"));
        assert!(next.is_of_family(b"family") && !next.is_of_family(b"another"));
        for bad in ["", "x", &"A".repeat(86), &"é".repeat(43)] {
            assert!(RefreshToken::parse(bad).is_none(), "{bad}");
        }
    }
}
