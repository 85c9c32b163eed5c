//! A ring buffer with the newest changes of a topic, and its position.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::topic::{Changes, Delivery};
use crate::model::stream::Position;

/// The capacity, in changes.
const CAPACITY: usize = 256;

/// Written by the topic's pump, read by all listeners.
pub struct Ring {
    held: Mutex<Held>,
    newest: watch::Sender<Position>,
    /// The position up to which rows are announced; the pump reads up to it.
    expected: Mutex<Position>,
    asked: Notify,
}

#[derive(Default)]
struct Held {
    /// The position before the first change that is held.
    from: Position,
    changes: VecDeque<Delivery>,
}

impl Ring {
    pub fn new() -> Self {
        Self {
            held: Mutex::default(),
            newest: watch::Sender::new(Position::default()),
            expected: Mutex::default(),
            asked: Notify::new(),
        }
    }

    /// A panic can't leave it inconsistent: each change is a single assignment or push.
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Clears the buffer and continues from here.
    pub fn begin(&self, position: Position) {
        *self.held() = Held { from: position, changes: VecDeque::with_capacity(8) };
        self.newest.send_replace(position);
    }

    pub fn newest(&self) -> Position {
        *self.newest.borrow()
    }

    /// Appends changes after [`Ring::newest`], and wakes all waiters.
    pub fn append(&self, changes: Vec<Delivery>, newest: Position) {
        let mut held = self.held();
        for change in changes {
            if held.changes.len() == CAPACITY
                && let Some(oldest) = held.changes.pop_front()
            {
                held.from = oldest.position;
            }
            held.changes.push_back(change);
        }
        drop(held);
        self.newest.send_replace(newest);
    }

    /// The changes after a position, if all of them are buffered.
    pub fn after(&self, after: Position, limit: usize) -> Option<Changes> {
        let newest = self.newest();
        let held = self.held();
        if after.generation != held.from.generation || after.n < held.from.n || after.n > newest.n {
            return None;
        }
        let start = held.changes.partition_point(|change| change.position.n <= after.n);
        let changes: Vec<Delivery> = held.changes.iter().skip(start).take(limit).cloned().collect();
        let reached = match changes.last() {
            Some(last) if changes.len() == limit => last.position,
            Some(last) if last.position.n > newest.n => last.position,
            _ => newest,
        };
        Some(Changes { changes, reached })
    }

    pub async fn wait_beyond(&self, position: Position) {
        let mut newest = self.newest.subscribe();
        // The sender is in `self`, so this only ends with a newer position.
        let _ = newest.wait_for(|newest| position.is_behind(*newest)).await;
    }

    /// Announces rows up to this position; wakes the pump if that is new.
    pub fn expect(&self, position: Position) {
        if self.newest().is_behind(position) {
            *self.expected.lock().unwrap_or_else(PoisonError::into_inner) = position;
            self.asked.notify_one();
        }
    }

    /// Waits for [`Ring::expect`].
    pub async fn asked(&self) -> Position {
        self.asked.notified().await;
        *self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Change;
    use crate::model::Clock;
    use crate::model::feed::FeedChange;
    use crate::model::id::{PostId, Slot};

    fn deliveries(numbers: std::ops::RangeInclusive<i64>) -> Vec<Delivery> {
        let post = PostId::make(&Clock::system(), Slot::random());
        let change = |n| Change::Feed(FeedChange { n, post, removed: false });
        numbers.map(|n| Delivery { position: at(n), change: change(n) }).collect()
    }

    fn at(n: i64) -> Position {
        Position { generation: 0, n }
    }

    fn numbers(found: Option<Changes>) -> Option<Vec<i64>> {
        found.map(|found| found.changes.iter().map(|change| change.position.n).collect())
    }

    #[test]
    fn it_answers_only_what_it_holds_in_full() {
        let ring = Ring::new();
        ring.begin(at(10));
        assert_eq!(numbers(ring.after(at(10), 9)), Some(vec![]));
        assert_eq!(numbers(ring.after(at(9), 9)), None);
        ring.append(deliveries(11..=13), at(14));
        assert_eq!(numbers(ring.after(at(10), 2)), Some(vec![11, 12]));
        assert_eq!(ring.after(at(10), 9).expect("held").reached, at(14));
        assert_eq!(numbers(ring.after(at(14), 9)), Some(vec![]));
        assert_eq!(numbers(ring.after(at(15), 9)), None);
        assert_eq!(numbers(ring.after(Position { generation: 1, n: 12 }, 9)), None);
    }

    #[test]
    fn it_forgets_the_oldest() {
        let ring = Ring::new();
        ring.begin(at(0));
        ring.append(deliveries(1..=300), at(300));
        assert_eq!(numbers(ring.after(at(43), 1)), None);
        assert_eq!(numbers(ring.after(at(44), 1)), Some(vec![45]));
    }
}
