//! The rounds: in each, the API and pgbench take turns on the same servers, so that what slows the machine
//! slows both and their ratio holds.

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::json;

use crate::api;
use crate::load::{self, Ids, Load, PLACEHOLDER, Work, histogram};
use crate::machine::{self, Memory};
use crate::pgbench::{Pgbench, Script};
use crate::population::{CREATE_POST, FEED, Population};
use crate::stack::Stack;

const USER: &str = "query($id: ID!) { user(id: $id) { id username fullName bio } }";
const WARM_UP: Duration = Duration::from_secs(2);

/// The figures of one thing that was done in every round.
pub struct Series {
    /// Times a second, round by round.
    pub rates: Vec<f64>,
    /// In nanoseconds, over all rounds; empty for pgbench, which tells no percentiles.
    pub latency: Histogram<u64>,
    /// What the API process worked, over all rounds; none where that can't be seen.
    pub cpu: Duration,
}

impl Series {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { rates: Vec::new(), latency: histogram()?, cpu: Duration::ZERO })
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
        let before = machine::cpu_time(&[pid]);
        let load = machine::watch(pid, memory, load::run(stack.api(0), works, time)).await?;
        self.cpu += machine::cpu_time(&[pid]).saturating_sub(before);
        self.add(&load)
    }

    fn add(&mut self, load: &Load) -> anyhow::Result<()> {
        self.rates.push(load.rate);
        Ok(self.latency.add(&load.latency)?)
    }

    /// This one's rate by another's, round by round.
    pub fn ratios(&self, to: &Self) -> Vec<f64> {
        self.rates.iter().zip(&to.rates).map(|(one, other)| one / other).collect()
    }
}

/// All figures.
pub struct Rounds {
    pub user: Series,
    pub feed: Series,
    pub create_post: Series,
    pub select: Series,
    pub transaction: Series,
    /// Of the API process under load, at its highest.
    pub memory: Option<Memory>,
}

/// Requests of each kind, made before the clock starts.
struct Works {
    user: Vec<Work>,
    feed: Vec<Work>,
    create_post: Vec<Work>,
}

impl Works {
    fn new(population: &mut Population) -> Self {
        let input = json!({
            "idempotencyKey": PLACEHOLDER,
            "mediaIds": [PLACEHOLDER],
            "caption": "What the load wrote",
        });
        let (user, input) = (json!({ "id": PLACEHOLDER }), json!({ "input": input }));
        let mut works = Self { user: Vec::new(), feed: Vec::new(), create_post: Vec::new() };
        for viewer in &mut population.viewers {
            let token = Some(viewer.token.as_str());
            let people = Arc::clone(&population.people);
            works.user.push(Work::new(api::request(token, USER, &user), Ids::AnyOf(people)));
            works.feed.push(Work::new(api::request(token, FEED, &json!({})), Ids::None));
            let pictures = std::mem::take(&mut viewer.pictures).into_iter();
            works
                .create_post
                .push(Work::new(api::request(token, CREATE_POST, &input), Ids::EachOf(pictures)));
        }
        works
    }
}

impl Rounds {
    pub async fn run(
        stack: &Stack,
        pgbench: &Pgbench,
        population: &mut Population,
        count: usize,
        time: Duration,
    ) -> anyhow::Result<Self> {
        let mut works = Works::new(population);
        for works in [&mut works.user, &mut works.feed, &mut works.create_post] {
            load::run(stack.api(0), works, WARM_UP.min(time)).await?;
        }
        pgbench.run(Script::Select, WARM_UP.min(time)).await?;
        machine::settle(&stack.pids()).await;
        let mut rounds = Self {
            user: Series::new()?,
            feed: Series::new()?,
            create_post: Series::new()?,
            select: Series::new()?,
            transaction: Series::new()?,
            memory: None,
        };
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
        works: &mut Works,
        time: Duration,
    ) -> anyhow::Result<()> {
        let memory = &mut self.memory;
        self.user.load(stack, &mut works.user, time, memory).await?;
        self.select.rates.push(pgbench.run(Script::Select, time).await?);
        self.feed.load(stack, &mut works.feed, time, memory).await?;
        self.create_post.load(stack, &mut works.create_post, time, memory).await?;
        machine::settle(&stack.pids()).await;
        self.transaction.rates.push(pgbench.run(Script::Transaction, time).await?);
        Ok(())
    }
}
