//! The one source of time: tests set it forward instead of waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use time::{Duration, OffsetDateTime};

/// Wall-clock time, to the millisecond, plus what a test has advanced it by.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    ahead_ms: Arc<AtomicI64>,
}

impl Clock {
    pub fn system() -> Self {
        Self::default()
    }

    /// Milliseconds since 1970.
    #[expect(clippy::disallowed_methods, reason = "this is the place where the time is read")]
    pub fn unix_millis(&self) -> i64 {
        let nanos = OffsetDateTime::now_utc().unix_timestamp_nanos();
        let millis = i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX);
        millis + self.ahead_ms.load(Ordering::Relaxed)
    }

    pub fn now(&self) -> OffsetDateTime {
        from_millis(self.unix_millis())
    }

    /// Sets this clock, and all its clones, forward.
    pub fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.whole_milliseconds()).unwrap_or(i64::MAX);
        self.ahead_ms.fetch_add(millis, Ordering::Relaxed);
    }
}

/// The moment that many milliseconds after 1970; out of range is 1970.
pub fn from_millis(millis: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Milliseconds since 1970 at that moment.
pub fn to_millis(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}
