//! Where the figures of all requests are written.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::load::nanoseconds;

/// Figures of one kind of request.
#[derive(Clone)]
pub struct Figures {
    /// Nanoseconds, of those that succeeded.
    latency: Histogram<u64>,
    pub errors: u64,
}

impl Figures {
    fn new() -> Self {
        // Two digits, up to a minute: there is one for each kind.
        Self { latency: Histogram::new_with_max(60_000_000_000, 2).expect("good bounds"), errors: 0 }
    }

    fn note(&mut self, took: Duration, failed: bool) {
        if failed {
            self.errors += 1;
        } else {
            self.latency.saturating_record(nanoseconds(took));
        }
    }

    pub fn count(&self) -> u64 {
        self.latency.len() + self.errors
    }

    /// The median, the 95th and the 99th percentile.
    pub fn percentiles(&self) -> [Duration; 3] {
        [0.5, 0.95, 0.99].map(|share| Duration::from_nanos(self.latency.value_at_quantile(share)))
    }
}

/// All figures.
#[derive(Clone)]
pub struct Board {
    actions: BTreeMap<&'static str, Figures>,
    /// Errors by their code.
    codes: BTreeMap<String, u64>,
    /// Of the current second.
    second: Figures,
}

impl Board {
    pub fn new() -> Self {
        Self { actions: BTreeMap::new(), codes: BTreeMap::new(), second: Figures::new() }
    }

    /// Notes a request, and the code of its error.
    pub fn note(&mut self, action: &'static str, took: Duration, error: Option<String>) {
        let failed = error.is_some();
        self.actions.entry(action).or_insert_with(Figures::new).note(took, failed);
        self.second.note(took, failed);
        if let Some(code) = error {
            *self.codes.entry(code).or_default() += 1;
        }
    }

    /// The figures since the last call.
    pub fn take_second(&mut self) -> Figures {
        std::mem::replace(&mut self.second, Figures::new())
    }

    pub fn actions(&self) -> impl Iterator<Item = (&'static str, &Figures)> {
        self.actions.iter().map(|(name, figures)| (*name, figures))
    }

    pub fn codes(&self) -> impl Iterator<Item = (&str, u64)> {
        self.codes.iter().map(|(code, count)| (code.as_str(), *count))
    }

    pub fn total(&self) -> Figures {
        let mut total = Figures::new();
        for figures in self.actions.values() {
            total.latency.add(&figures.latency).expect("the same bounds");
            total.errors += figures.errors;
        }
        total
    }
}

/// A time in milliseconds.
pub fn shown(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
