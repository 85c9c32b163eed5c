//! The lag of a shard's replicas.
//!
//! Probes of the primary record the position of its log with the time. A replica that has replayed up to such
//! a position is at most as old as that time, whatever the clocks of the servers say.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::replication::ReplicationState;
use crate::model::ServerFault;
use crate::model::wal::WalPosition;

/// How many positions are kept: an hour of probes.
const MOMENTS: usize = 3600;

/// The status of a replica, as this process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaStatus {
    pub name: String,
    /// Whether reads are sent to it.
    pub healthy: bool,
    /// Its maximum lag; `None` if unknown.
    pub lag: Option<Duration>,
    /// Why no reads are sent to it.
    pub fault: Option<ServerFault>,
}

/// Positions of the primary's log with the time of the probe, newest last.
#[derive(Debug, Default)]
pub struct WalHistory(Mutex<VecDeque<(Instant, WalPosition)>>);

impl WalHistory {
    /// Records the result of a probe that was sent at `sent`.
    pub fn note(&self, sent: Instant, position: WalPosition) {
        let mut moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A shorter log, or another timeline, belongs to another server.
        if moments.back().is_some_and(|(_, last)| last.timeline != position.timeline || *last > position) {
            moments.clear();
        }
        if moments.len() == MOMENTS {
            moments.pop_front();
        }
        moments.push_back((sent, position));
    }

    /// The maximum lag of a replica in this state. `None` if unknown: it follows no server or another one, or
    /// is further behind than the history goes back.
    pub fn age(&self, replica: ReplicationState, now: Instant) -> Option<Duration> {
        if !replica.standby {
            return None;
        }
        let moments = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let replayed = |at: &WalPosition| at.timeline == replica.position.timeline && *at <= replica.position;
        let (moment, _) = moments.iter().rev().find(|(_, at)| replayed(at))?;
        Some(now.duration_since(*moment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(timeline: u32, lsn: u64) -> WalPosition {
        WalPosition { timeline, lsn }
    }

    fn standby(position: WalPosition) -> ReplicationState {
        ReplicationState { standby: true, position }
    }

    #[test]
    fn a_copy_is_as_old_as_the_last_moment_that_it_has() {
        let (history, start) = (WalHistory::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let age = |position| history.age(standby(position), after(5)).map(|age| age.as_secs());
        assert_eq!(age(at(1, 100)), None, "nothing is known of the primary");
        for (second, lsn) in [(1, 100), (2, 200), (3, 200), (4, 300)] {
            history.note(after(second), at(1, lsn));
        }
        assert_eq!(age(at(1, 300)), Some(1));
        assert_eq!(age(at(1, 299)), Some(2));
        assert_eq!(age(at(1, 100)), Some(4));
        assert_eq!(age(at(1, 99)), None, "it is further behind than is remembered");
        assert_eq!(age(at(2, 300)), None, "it is on another timeline");
        let promoted = ReplicationState { standby: false, position: at(1, 300) };
        assert_eq!(history.age(promoted, after(5)), None);
    }

    #[test]
    fn another_primary_begins_anew() {
        let (history, start) = (WalHistory::default(), Instant::now());
        history.note(start, at(1, 500));
        history.note(start, at(2, 400));
        assert_eq!(history.age(standby(at(1, 500)), start), None);
        assert_eq!(history.age(standby(at(2, 400)), start), Some(Duration::ZERO));
        history.note(start, at(2, 300));
        assert_eq!(history.age(standby(at(2, 299)), start), None);
    }
}
