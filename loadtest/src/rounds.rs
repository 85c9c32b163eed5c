//! The rounds: in each, the API and pgbench take turns on the same servers, so that what slows the machine
//! slows both and their ratio holds.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::load::{self, Load, Work, histogram};
use crate::machine::{self, Memory};
use crate::part::Part;
use crate::pgbench::{Pgbench, Script};
use crate::population::Population;
use crate::stack::{Stack, Usage};

const WARM_UP: Duration = Duration::from_secs(2);

/// The figures of one part, over all rounds.
pub struct Series {
    /// Requests a second, round by round.
    pub rates: Vec<f64>,
    /// In nanoseconds.
    pub latency: Histogram<u64>,
    /// What the API process that takes the load worked; none where that can't be seen.
    pub cpu: Duration,
    /// What all processes worked meanwhile, and for how long they were loaded.
    pub usage: Usage,
    pub loaded: Duration,
}

impl Series {
    fn new() -> anyhow::Result<Self> {
        let usage = Usage::default();
        Ok(Self {
            rates: Vec::new(),
            latency: histogram()?,
            cpu: Duration::ZERO,
            usage,
            loaded: Duration::ZERO,
        })
    }

    /// Loads the first API process with one part of a round.
    async fn load(
        &mut self,
        stack: &Stack,
        works: &mut Vec<Work>,
        time: Duration,
        memory: &mut Option<Memory>,
    ) -> anyhow::Result<()> {
        let pid = stack.api_pid()?;
        let (before, usage) = (machine::cpu_time(&[pid]), stack.usage());
        let load = machine::watch(pid, memory, load::run(stack.api(0), works, time)).await?;
        self.cpu += machine::cpu_time(&[pid]).saturating_sub(before);
        self.usage.add(&stack.usage().since(&usage));
        self.loaded += time;
        self.add(&load)
    }

    fn add(&mut self, load: &Load) -> anyhow::Result<()> {
        self.rates.push(load.rate);
        Ok(self.latency.add(&load.latency)?)
    }
}

/// All figures.
pub struct Rounds {
    pub parts: BTreeMap<Part, Series>,
    /// Transactions a second, round by round.
    pub scripts: BTreeMap<Script, Vec<f64>>,
    /// Of the API process under load, at its highest.
    pub memory: Option<Memory>,
}

impl Rounds {
    pub async fn run(
        stack: &Stack,
        pgbench: &Pgbench,
        population: &mut Population,
        parts: &[Part],
        (count, time): (usize, Duration),
    ) -> anyhow::Result<Self> {
        let mut works = BTreeMap::new();
        let mut rounds = Self { parts: BTreeMap::new(), scripts: BTreeMap::new(), memory: None };
        for part in parts {
            let work = works.entry(*part).or_insert_with(|| part.work(population));
            load::run(stack.api(0), work, WARM_UP.min(time)).await?;
            rounds.parts.insert(*part, Series::new()?);
            if rounds.scripts.insert(part.script(), Vec::new()).is_none() {
                pgbench.run(part.script(), WARM_UP.min(time)).await?;
            }
        }
        stack.settle().await;
        for number in 1..=count {
            eprintln!("round {number} of {count}");
            rounds.round(stack, pgbench, &mut works, time).await?;
        }
        Ok(rounds)
    }

    async fn round(
        &mut self,
        stack: &Stack,
        pgbench: &Pgbench,
        works: &mut BTreeMap<Part, Vec<Work>>,
        time: Duration,
    ) -> anyhow::Result<()> {
        let mut done = Vec::new();
        for (part, works) in works {
            let series = self.parts.get_mut(part).expect("each part has a series");
            series.load(stack, works, time, &mut self.memory).await?;
            if part.writes() {
                stack.settle().await;
            }
            let script = part.script();
            if !done.contains(&script) {
                done.push(script);
                let rate = pgbench.run(script, time).await?;
                self.scripts.get_mut(&script).expect("each script has a series").push(rate);
            }
        }
        Ok(())
    }

    /// A part's rate by that of its transaction, round by round.
    pub fn ratios(&self, part: Part, series: &Series) -> Vec<f64> {
        series.rates.iter().zip(&self.scripts[&part.script()]).map(|(one, other)| one / other).collect()
    }
}
