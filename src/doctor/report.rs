//! What was looked at, and what was found.

use serde::Serialize;

/// How many faults of a line are named; the others are counted.
const NAMED: usize = 1000;

/// Something that is not as it should be.
#[derive(Debug, Clone, Serialize)]
pub struct Fault {
    /// The key of the row that is wrong.
    pub id: String,
    pub what: String,
    pub mended: bool,
}

/// One part of a check on one shard.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    pub check: &'static str,
    pub shard: String,
    /// Rows.
    pub looked: u64,
    pub found: u64,
    pub mended: u64,
    /// The first thousand.
    pub faults: Vec<Fault>,
    /// What could not be looked at, and why.
    pub unseen: Vec<String>,
}

impl Line {
    pub(super) fn new(check: &'static str, shard: String) -> Self {
        Self { check, shard, looked: 0, found: 0, mended: 0, faults: Vec::new(), unseen: Vec::new() }
    }

    pub(super) fn fault(&mut self, id: String, what: String, mended: bool) {
        self.found += 1;
        self.mended += u64::from(mended);
        if self.faults.len() < NAMED {
            self.faults.push(Fault { id, what, mended });
        }
    }

    /// A fault that is in the line is mended after all.
    pub(super) fn mended(&mut self, id: &str) {
        self.mended += 1;
        if let Some(fault) = self.faults.iter_mut().find(|fault| fault.id == id) {
            fault.mended = true;
        }
    }
}

/// All lines: one a shard for each part of each check.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub lines: Vec<Line>,
}

impl Report {
    /// How many faults are left.
    pub fn left(&self) -> u64 {
        self.lines.iter().map(|line| line.found - line.mended).sum()
    }

    /// Whether all was looked at.
    pub fn is_complete(&self) -> bool {
        self.lines.iter().all(|line| line.unseen.is_empty())
    }
}
