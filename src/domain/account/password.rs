//! Passwords: what is good enough, and hashing that can't take the machine.

use std::sync::{Arc, LazyLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization;
use zxcvbn::Score;

use crate::domain::text::Password;
use crate::model::{Error, Result};

/// Characters in a password.
const LENGTH: std::ops::RangeInclusive<usize> = 8..=128;
/// The cost of guessing is estimated from this many characters: the estimate is quadratic.
const ESTIMATED: usize = 100;
/// How many may wait for a hasher; more are refused.
const WAITING: usize = 64;
const RETRY_AFTER_MS: u64 = 1000;

/// OWASP's Argon2id parameters: 19 MiB, two passes, one lane.
static ARGON2: LazyLock<Argon2<'static>> = LazyLock::new(|| {
    let params = Params::new(19 * 1024, 2, 1, None).expect("valid parameters");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
});

/// Compared with where a name is unknown, so that the time of an answer does not tell who has an account.
static NOBODY: LazyLock<String> = LazyLock::new(|| {
    let hash = ARGON2.hash_password_with_salt(b"nobody's password", b"nobody's salt 16");
    hash.expect("a valid password and salt").to_string()
});

/// Reads a new password. Its characters are brought into normal form C, because two keyboards may spell
/// one letter in two ways.
pub fn parse(field: &'static str, text: &SecretString) -> Result<Password> {
    // Before anything that costs.
    if text.expose_secret().len() > LENGTH.end() * 12 {
        return Err(Error::invalid(field, "is longer than 128 characters"));
    }
    let text = normal(text);
    match text.expose_secret().chars().count() {
        length if length < *LENGTH.start() => Err(Error::invalid(field, "is shorter than 8 characters")),
        length if length > *LENGTH.end() => Err(Error::invalid(field, "is longer than 128 characters")),
        _ => Ok(text),
    }
}

fn normal(text: &SecretString) -> SecretString {
    text.expose_secret().nfc().collect::<String>().into()
}

fn is_easy_to_guess(password: &str, about_user: &[String]) -> bool {
    let start: String = password.chars().take(ESTIMATED).collect();
    let about_user: Vec<&str> = about_user.iter().map(String::as_str).collect();
    zxcvbn::zxcvbn(&start, &about_user).score() < Score::Two
}

/// Hashes passwords, few at once, away from the threads that serve requests. Cheap to clone.
#[derive(Clone)]
pub struct Hasher {
    running: Arc<Semaphore>,
    /// Who is hashed or waits for it.
    admitted: Arc<Semaphore>,
}

impl Hasher {
    /// `hashers` passwords at once, each taking 19 MiB.
    pub fn new(hashers: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(hashers)),
            admitted: Arc::new(Semaphore::new(hashers + WAITING)),
        }
    }

    /// Hashes a new password, unless it is easy to guess with these texts about the user.
    pub async fn hash(
        &self,
        field: &'static str,
        password: Password,
        about_user: Vec<String>,
    ) -> Result<String> {
        self.run(move || {
            let password = password.expose_secret();
            if is_easy_to_guess(password, &about_user) {
                return Err(Error::invalid(field, "is too easy to guess"));
            }
            let hash = ARGON2.hash_password(password.as_bytes());
            Ok(hash.map_err(|cause| Error::internal(anyhow::anyhow!("{cause}")))?.to_string())
        })
        .await?
    }

    /// Whether the password is the one of this hash, a PHC string. Without a hash the answer is no, and
    /// takes as long.
    pub async fn verify(&self, password: SecretString, hash: Option<String>) -> Result<bool> {
        if password.expose_secret().len() > LENGTH.end() * 12 {
            return Ok(false);
        }
        self.run(move || {
            let known = hash.is_some();
            let hash = hash.as_deref().unwrap_or(&NOBODY);
            let hash = PasswordHash::new(hash)
                .map_err(|cause| Error::internal(anyhow::anyhow!("a stored password hash: {cause}")))?;
            let password = normal(&password);
            Ok(ARGON2.verify_password(password.expose_secret().as_bytes(), &hash).is_ok() && known)
        })
        .await?
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| {
            metrics::counter!("fowergram_password_hashes_refused_total").increment(1);
            Error::RateLimited { retry_after_ms: RETRY_AFTER_MS }
        })?;
        let running = self.running.clone().acquire_owned().await.map_err(Error::internal)?;
        let done = tokio::task::spawn_blocking(move || {
            // Held here and not by the caller: a request that gave up does not make room for another
            // while its hash is still computed.
            let _held = (admitted, running);
            work()
        });
        done.await.map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_verifies_its_password_only() {
        let hasher = Hasher::new(1);
        let password = parse("input.password", &"an apple e\u{301}tude".into()).expect("long enough");
        let hash = hasher.hash("input.password", password, vec![]).await.expect("good");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hasher.verify("an apple étude".into(), Some(hash.clone())).await.expect("verified"));
        assert!(!hasher.verify("an apple etude".into(), Some(hash)).await.expect("verified"));
        assert!(!hasher.verify("nobody's password".into(), None).await.expect("verified"));
    }

    #[tokio::test]
    async fn what_is_easy_to_guess_is_refused() {
        let hasher = Hasher::new(1);
        for easy in ["password1", "aaaaaaaaaaaa", "ada.lovelace"] {
            let refused = hasher.hash("input.password", easy.into(), vec!["ada.lovelace".to_owned()]).await;
            assert!(matches!(refused, Err(Error::Invalid { .. })), "{easy}");
        }
        assert!(parse("input.password", &"short".into()).is_err());
        assert!(parse("input.password", &"x".repeat(129).into()).is_err());
        assert!(parse("input.password", &"x".repeat(1_000_000).into()).is_err());
    }

    #[tokio::test]
    async fn a_crowd_is_told_to_come_back() {
        let hasher = Hasher::new(1);
        let attempts = (0..=WAITING + 1).map(|_| hasher.verify("a password".into(), None));
        let answers = futures_util::future::join_all(attempts).await;
        let refused = answers.iter().filter(|answer| matches!(answer, Err(Error::RateLimited { .. })));
        assert_eq!(refused.count(), 1);
    }
}
