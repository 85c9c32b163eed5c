//! Revocation: in force at once in the process that revokes, and within a second in every other one.
//!
//! A verified token is remembered, so a process must hear that its session was revoked. It asks: each
//! shard is polled for the sessions that were revoked lately, twice within the second. (The other way, a
//! heartbeat over NATS, adds a part that can fail where this needs none: the shard is where the
//! revocation was written, so who can read it misses nothing, and who can't knows that it can't.) While
//! the last good poll of a shard is too old, tokens of its users are checked by reading the session's
//! row. What NATS tells comes on top, by [`Domain::revoke_locally`].

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::domain::Domain;
use crate::domain::account::token;
use crate::domain::viewer::Viewer;
use crate::model::account::AccountState;
use crate::model::id::SessionId;
use crate::model::{Error, Result};
use crate::store::session;

const POLL: Duration = Duration::from_millis(400);
/// How old the last good poll may be: with what a request lasts, less than a second.
const FRESH: Duration = Duration::from_millis(800);
/// How many revoked sessions are known by name. When there are more, no token is trusted unread.
const KNOWN: usize = 200_000;
/// How often the known ones are looked through when there are too many.
const PRUNE_MS: i64 = 1000;
/// Added to a token's lifetime, after which its session is not asked for any more.
const MARGIN_MS: i64 = 60_000;
/// How often an open socket looks at the clock.
const LOOK: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Revoked {
    /// Until when each is to be known, unix ms.
    until: HashMap<SessionId, i64>,
    /// When entries that are not needed any more were removed last, unix ms.
    pruned_at: i64,
}

/// What this process knows of revoked sessions.
pub struct Revocations {
    revoked: RwLock<Revoked>,
    /// Until then, unix ms, some revoked session may not be known.
    overflowed_until: AtomicI64,
    keep_ms: i64,
    /// Sockets that wait for the end of their session, with how many do.
    waiting: Mutex<HashMap<SessionId, (CancellationToken, usize)>>,
    started: Instant,
    /// For each shard, when the last good poll began, in milliseconds after `started`; 0 for never.
    polled: Vec<AtomicU64>,
}

impl Revocations {
    /// `token_lifetime_ms`: how long an access token is good.
    pub fn new(token_lifetime_ms: i64, shards: usize) -> Self {
        Self {
            revoked: RwLock::default(),
            overflowed_until: AtomicI64::new(0),
            keep_ms: token_lifetime_ms + MARGIN_MS,
            waiting: Mutex::default(),
            started: Instant::now(),
            polled: (0..shards).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Ends what hangs on this session. Again without effect.
    fn add(&self, session: SessionId, now: i64) {
        if self.contains(session) {
            return;
        }
        {
            let mut revoked = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
            if revoked.until.len() >= KNOWN && now - revoked.pruned_at >= PRUNE_MS {
                revoked.until.retain(|_, until| *until > now);
                revoked.pruned_at = now;
            }
            if revoked.until.len() < KNOWN {
                revoked.until.insert(session, now + self.keep_ms);
            } else {
                self.overflowed_until.store(now + self.keep_ms, Ordering::Release);
            }
        }
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((ended, _)) = waiting.get(&session) {
            ended.cancel();
        }
    }

    fn contains(&self, session: SessionId) -> bool {
        self.revoked.read().unwrap_or_else(PoisonError::into_inner).until.contains_key(&session)
    }

    /// Whether a session of this shard that is not known as revoked is in force.
    fn is_complete(&self, shard: usize, now: i64) -> bool {
        self.since_poll(shard).is_some_and(|age| age <= FRESH)
            && self.overflowed_until.load(Ordering::Acquire) <= now
    }

    fn since_poll(&self, shard: usize) -> Option<Duration> {
        match self.polled[shard].load(Ordering::Acquire) {
            0 => None,
            at => Some(self.started.elapsed().saturating_sub(Duration::from_millis(at))),
        }
    }

    fn polled(&self, shard: usize, at: Instant) {
        let at = at.duration_since(self.started).as_millis().try_into().unwrap_or(u64::MAX).max(1);
        self.polled[shard].store(at, Ordering::Release);
    }

    fn wait(&self, session: SessionId) -> Waiting<'_> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (ended, count) = waiting.entry(session).or_default();
        *count += 1;
        Waiting { revocations: self, session, ended: ended.clone() }
    }
}

/// One socket's wait for the end of its session.
struct Waiting<'a> {
    revocations: &'a Revocations,
    session: SessionId,
    ended: CancellationToken,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.revocations.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = waiting.get_mut(&self.session) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.session);
            }
        }
    }
}

impl Domain {
    /// Whom an access token names, if it is good and its session is in force. `Unauthenticated` for what
    /// is no token of ours, `TokenExpired` for one to be refreshed, `TokenRevoked` for one whose session
    /// has ended.
    pub async fn authenticate(&self, text: &str) -> Result<Viewer> {
        let digest = token::digest(text);
        let tokens = &self.accounts.tokens;
        if let Some(viewer) = tokens.recall(&digest)? {
            self.require_in_force(&viewer, false).await?;
            return Ok(Viewer::clone(&viewer));
        }
        let viewer = tokens.verify(text)?;
        self.require_in_force(&viewer, true).await?;
        tokens.remember(digest, Arc::new(viewer.clone()));
        Ok(viewer)
    }

    async fn require_in_force(&self, viewer: &Viewer, unseen: bool) -> Result<()> {
        let revocations = &self.accounts.revocations;
        if revocations.contains(viewer.session) {
            return Err(Error::TokenRevoked);
        }
        let shard = self.store.owner(viewer.session.slot());
        if !unseen && revocations.is_complete(shard, self.clock.unix_millis()) {
            return Ok(());
        }
        match self.tables.sessions.get(viewer.session).await? {
            Some(row) if AccountState::of(row.user_state) == AccountState::Suspended => {
                Err(Error::AccountSuspended)
            }
            Some(row)
                if !row.revoked
                    && row.user_id == viewer.user.uuid()
                    && row.expires_at > self.clock.now()
                    && row.user_state != AccountState::Aborted as i16 =>
            {
                Ok(())
            }
            _ => Err(Error::TokenRevoked),
        }
    }

    /// Makes this process refuse the session's tokens and end its sockets, now.
    pub fn revoke_locally(&self, session: SessionId) {
        self.accounts.revocations.add(session, self.clock.unix_millis());
    }

    /// Resolves when the viewer must be seen off: `TokenRevoked` or `TokenExpired`. For sockets; 20,000 of
    /// them may wait.
    pub async fn closed(&self, viewer: &Viewer) -> Error {
        let expired = async {
            loop {
                let left = viewer.expires_at - self.clock.now();
                match Duration::try_from(left) {
                    Ok(left) if !left.is_zero() => tokio::time::sleep(left.min(LOOK)).await,
                    _ => return Error::TokenExpired,
                }
            }
        };
        tokio::select! {
            biased;
            error = self.revoked(viewer) => error,
            error = expired => error,
        }
    }

    /// Resolves when the viewer's session has ended, whatever becomes of its tokens. While the viewer's shard
    /// can't be read and NATS is cut too, a revocation is heard of when either is back.
    pub async fn revoked(&self, viewer: &Viewer) -> Error {
        let revocations = &self.accounts.revocations;
        let waiting = revocations.wait(viewer.session);
        // After the wait has begun, so that a revocation in between is not missed.
        if !revocations.contains(viewer.session) {
            waiting.ended.cancelled().await;
        }
        Error::TokenRevoked
    }
}

/// Polls every shard until `stopping`, each in its own rhythm: a shard that does not answer is waited for
/// without holding up the others.
pub async fn watch_revocations(domain: Domain, stopping: CancellationToken) {
    let shards = 0..domain.store.shards().len();
    let all = join_all(shards.map(|shard| watch_shard(&domain, shard)));
    stopping.run_until_cancelled(all).await;
}

async fn watch_shard(domain: &Domain, index: usize) {
    let shard = &domain.store.shards()[index];
    let revocations = &domain.accounts.revocations;
    // A row is seen when its transaction commits, which is later than the time that it bears, but not
    // by more than a transaction may last.
    let late = shard.timeout * 2 + Duration::from_secs(5);
    let mut ticks = tokio::time::interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let began = Instant::now();
        let window = late + revocations.since_poll(index).unwrap_or_default();
        match session::recently_revoked(shard, window.as_secs_f64()).await {
            Ok(sessions) => {
                for session in sessions {
                    domain.revoke_locally(session);
                }
                revocations.polled(index, began);
            }
            Err(error) => tracing::debug!(shard = %shard.name, %error, "revocations can't be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Clock;
    use crate::model::id::Slot;

    #[test]
    fn more_than_can_be_known_is_not_trusted() {
        let clock = Clock::system();
        let revocations = Revocations::new(900_000, 1);
        let now = clock.unix_millis();
        revocations.polled(0, Instant::now() + Duration::from_millis(1));
        assert!(revocations.is_complete(0, now));
        let slot = Slot::random();
        let sessions: Vec<_> = (0..=KNOWN).map(|_| SessionId::make(&clock, slot)).collect();
        for session in &sessions[..KNOWN] {
            revocations.add(*session, now);
        }
        // However long that took.
        revocations.polled(0, Instant::now());
        assert!(revocations.is_complete(0, now) && revocations.contains(sessions[0]));
        revocations.add(sessions[KNOWN], now);
        assert!(!revocations.is_complete(0, now));
        let later = now + 960_000;
        revocations.polled(0, Instant::now());
        assert!(revocations.is_complete(0, later));
        revocations.add(sessions[KNOWN], later);
        assert!(revocations.contains(sessions[KNOWN]) && !revocations.contains(sessions[0]));
    }
}
