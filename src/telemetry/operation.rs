//! What is counted of GraphQL operations, by name.

use std::collections::HashMap;
use std::time::Duration;

use async_graphql::parser::types::OperationType;
use metrics::{Counter, Histogram, SharedString, counter, histogram};

use crate::model::Code;

const OPERATIONS: &str = "fowergram_graphql_operations_total";
const DURATION: &str = "fowergram_graphql_duration_seconds";
/// Stands for all names that are not counted on their own.
const OTHER: &str = "other";
const TYPES: [&str; 3] = ["query", "mutation", "subscription"];

/// The operations that are counted by their names, and all others together: names come from clients, and a metric with
/// any number of them would fill the memory of whoever collects it.
pub struct OperationMetrics {
    named: HashMap<Box<str>, [Measures; 3]>,
    other: [Measures; 3],
}

/// Handles that are looked up once, for operations with one name and type.
struct Measures {
    name: SharedString,
    kind: &'static str,
    succeeded: Counter,
    seconds: Histogram,
}

impl OperationMetrics {
    pub fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self { named: names.map(|name| (name.into(), of_name(name))).collect(), other: of_name(OTHER) }
    }

    /// An operation that ended, with its first error.
    pub fn ended(&self, name: Option<&str>, kind: OperationType, code: Option<Code>, took: Duration) {
        let measures = name.and_then(|name| self.named.get(name)).unwrap_or(&self.other);
        measures[index(kind)].record(code, took);
    }
}

impl Measures {
    fn record(&self, code: Option<Code>, took: Duration) {
        self.seconds.record(took);
        match code {
            None => self.succeeded.increment(1),
            Some(code) => count(self.name.clone(), self.kind, code),
        }
    }
}

/// Counts an operation that was not run, whose name and type may be unknown.
pub fn refused(code: Code) {
    count(SharedString::const_str(OTHER), "refused", code);
}

fn count(operation: SharedString, kind: &'static str, code: Code) {
    counter!(OPERATIONS, "operation" => operation, "type" => kind, "outcome" => code.as_str()).increment(1);
}

fn of_name(name: &str) -> [Measures; 3] {
    TYPES.map(|kind| {
        let name = SharedString::from(name.to_owned());
        Measures {
            succeeded: counter!(OPERATIONS, "operation" => name.clone(), "type" => kind, "outcome" => "OK"),
            seconds: histogram!(DURATION, "operation" => name.clone(), "type" => kind),
            name,
            kind,
        }
    })
}

const fn index(kind: OperationType) -> usize {
    match kind {
        OperationType::Query => 0,
        OperationType::Mutation => 1,
        OperationType::Subscription => 2,
    }
}
