//! Places for sockets and event streams: so many in a process, and so many of them for each user.

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

/// How long to stay away where a user has too many already, in milliseconds.
const RETRY_AFTER_MS: u64 = 1000;

/// All places of a process.
pub struct Seats {
    all: Arc<Semaphore>,
    of_users: Arc<DashMap<UserId, usize>>,
    most_of_user: usize,
}

/// What an open socket or event stream holds.
pub struct Seat {
    _place: OwnedSemaphorePermit,
    _awaited: TaskTrackerToken,
    _counted: Gauged,
}

/// One of a user's places. It is taken when it is known who asks, which a socket says after it is open.
pub struct UserSeat {
    user: UserId,
    of_users: Arc<DashMap<UserId, usize>>,
}

impl Seats {
    pub fn new(config: &HttpConfig) -> Self {
        Self {
            all: Arc::new(Semaphore::new(config.max_sockets.min(Semaphore::MAX_PERMITS))),
            of_users: Arc::default(),
            most_of_user: config.max_sockets_per_user,
        }
    }

    /// A seat for one more; none where there are too many. `tasks` counts those that are open.
    pub fn take(&self, tasks: &TaskTracker) -> Option<Seat> {
        let place = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(Seat { _place: place, _awaited: tasks.token(), _counted: telemetry::metrics().socket() })
    }

    /// A place of the viewer's own; `RateLimited` beyond the last one. Strangers have none and need none.
    pub fn take_of(&self, viewer: Option<&Viewer>) -> Result<Option<UserSeat>> {
        let Some(user) = viewer.map(|viewer| viewer.user) else { return Ok(None) };
        let mut taken = self.of_users.entry(user).or_default();
        if *taken >= self.most_of_user {
            return Err(Error::RateLimited { retry_after_ms: RETRY_AFTER_MS });
        }
        *taken += 1;
        Ok(Some(UserSeat { user, of_users: Arc::clone(&self.of_users) }))
    }
}

impl Drop for UserSeat {
    fn drop(&mut self) {
        self.of_users.remove_if_mut(&self.user, |_, taken| {
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
    fn a_user_has_so_many_places_and_leaves_nothing_behind() {
        let seats = Seats { all: Arc::new(Semaphore::new(1)), of_users: Arc::default(), most_of_user: 2 };
        let (ada, bob) = (somebody(), somebody());
        let first = seats.take_of(Some(&ada)).expect("a place");
        let _second = seats.take_of(Some(&ada)).expect("a place");
        assert!(matches!(seats.take_of(Some(&ada)), Err(Error::RateLimited { .. })));
        let others = [seats.take_of(Some(&bob)).expect("a place"), seats.take_of(None).expect("no need")];
        drop(first);
        let third = seats.take_of(Some(&ada)).expect("a place");
        assert!(seats.take_of(Some(&ada)).is_err());
        drop((third, others));
        assert_eq!(seats.of_users.len(), 1, "only of whom something is open");
    }
}
