//! The system and the load, second by second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::client::Network;
use super::listener::Heard;
use crate::machine::Memory;
use crate::stack::{Stack, Usage};

/// One second.
#[derive(Debug, Clone)]
pub struct Sample {
    pub clients: usize,
    pub connections: usize,
    pub requests: u64,
    pub errors: u64,
    pub p50: Duration,
    pub p95: Duration,
    pub p99: Duration,
    /// Open sockets that listen.
    pub sockets: usize,
    /// Events that reached them.
    pub events: u64,
    /// CPU in percent of one core, by what works.
    pub cpu: BTreeMap<&'static str, f64>,
    /// RSS in bytes, by process.
    pub memory: BTreeMap<&'static str, u64>,
}

/// Takes samples.
pub struct Meter<'a> {
    stack: &'a Stack,
    usage: Usage,
    at: Instant,
}

impl<'a> Meter<'a> {
    pub fn new(stack: &'a Stack) -> Self {
        Self { stack, usage: usage(stack), at: Instant::now() }
    }

    pub fn take(&mut self, network: &Network, heard: &Heard, clients: usize) -> Sample {
        let (now, usage) = (Instant::now(), usage(self.stack));
        let passed = (now - self.at).as_secs_f64();
        let cpu = usage.since(&self.usage).0.into_iter();
        let cpu = cpu.map(|(name, time)| (name, 100.0 * time.as_secs_f64() / passed)).collect();
        (self.usage, self.at) = (usage, now);
        let names = ["API 1", "API 2"].into_iter().enumerate();
        let memory = names.filter_map(|(index, name)| {
            let pid = self.stack.pid(index).ok()?;
            Some((name, Memory::of(pid)?.rss))
        });
        let figures = network.take_second();
        let [p50, p95, p99] = figures.percentiles();
        Sample {
            clients,
            connections: network.connections(),
            requests: figures.count(),
            errors: figures.errors,
            p50,
            p95,
            p99,
            sockets: heard.open(),
            events: heard.take_events(),
            cpu,
            memory: memory.collect(),
        }
    }
}

/// What all have worked, with the load itself.
fn usage(stack: &Stack) -> Usage {
    let mut usage = stack.usage();
    usage.0.insert("load", crate::machine::cpu_time(&[std::process::id()]));
    usage
}
