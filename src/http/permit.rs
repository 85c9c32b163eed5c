//! Limits on open sockets and event streams: for the process, and for each user.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::config::HttpConfig;
use crate::domain::viewer::Viewer;
use crate::model::id::UserId;
use crate::model::{Error, Result};
use crate::telemetry::{self, Gauged};

/// When a user with too many connections may try again, in milliseconds.
const RETRY_AFTER_MS: u64 = 1000;

/// The limits of a process, and what is in use.
pub struct ConnectionLimits {
    all: Arc<Semaphore>,
    users: Arc<DashMap<UserId, usize>>,
    max_per_user: usize,
}

/// What an open socket or event stream holds.
pub struct ConnectionPermit {
    _place: OwnedSemaphorePermit,
    _awaited: TaskTrackerToken,
    _counted: Gauged,
}

/// Counts against the user's limit. Acquired once the user is known, which for a socket is after it has opened.
pub struct UserPermit {
    user: UserId,
    users: Arc<DashMap<UserId, usize>>,
}

impl ConnectionLimits {
    pub fn new(config: &HttpConfig) -> Self {
        Self {
            all: Arc::new(Semaphore::new(config.max_sockets.min(Semaphore::MAX_PERMITS))),
            users: Arc::default(),
            max_per_user: config.max_sockets_per_user,
        }
    }

    /// A permit for one more connection; `None` at the limit. `tasks` counts the open ones.
    pub fn acquire(&self, tasks: &TaskTracker) -> Option<ConnectionPermit> {
        let place = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(ConnectionPermit {
            _place: place,
            _awaited: tasks.token(),
            _counted: telemetry::metrics().socket(),
        })
    }

    /// A permit of this user; `RateLimited` at the limit. Anonymous callers need none.
    pub fn acquire_for(&self, viewer: Option<&Viewer>) -> Result<Option<UserPermit>> {
        let Some(user) = viewer.map(|viewer| viewer.user) else { return Ok(None) };
        let mut taken = self.users.entry(user).or_default();
        if *taken >= self.max_per_user {
            return Err(Error::RateLimited { retry_after_ms: RETRY_AFTER_MS });
        }
        *taken += 1;
        Ok(Some(UserPermit { user, users: Arc::clone(&self.users) }))
    }
}

impl Drop for UserPermit {
    fn drop(&mut self) {
        self.users.remove_if_mut(&self.user, |_, taken| {
            *taken -= 1;
            *taken == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::model::Clock;
    use crate::model::id::{SessionId, Slot};

    fn somebody() -> Viewer {
        let (clock, slot) = (Clock::system(), Slot::random());
        Viewer {
            user: UserId::make(&clock, slot),
            session: SessionId::make(&clock, slot),
            expires_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn permits_of_a_user_are_limited_and_given_back() {
        let limits =
            ConnectionLimits { all: Arc::new(Semaphore::new(1)), users: Arc::default(), max_per_user: 2 };
        let (ada, bob) = (somebody(), somebody());
        let first = limits.acquire_for(Some(&ada)).expect("a place");
        let _second = limits.acquire_for(Some(&ada)).expect("a place");
        assert!(matches!(limits.acquire_for(Some(&ada)), Err(Error::RateLimited { .. })));
        let others =
            [limits.acquire_for(Some(&bob)).expect("a place"), limits.acquire_for(None).expect("no need")];
        drop(first);
        let third = limits.acquire_for(Some(&ada)).expect("a place");
        assert!(limits.acquire_for(Some(&ada)).is_err());
        drop((third, others));
        assert_eq!(limits.users.len(), 1, "only of whom something is open");
    }
}
