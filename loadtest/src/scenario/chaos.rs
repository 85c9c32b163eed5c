//! What breaks while clients are at work.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::stack::Stack;

/// How long each thing is away.
const AWAY: Duration = Duration::from_secs(3);

/// Something that broke.
#[derive(Debug, Clone)]
pub struct Harm {
    pub second: u64,
    pub what: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Api,
    Worker,
    Redis,
    Nats,
    Shard,
}

impl Part {
    const ALL: [Self; 5] = [Self::Api, Self::Worker, Self::Redis, Self::Nats, Self::Shard];

    fn harm(self) -> &'static str {
        match self {
            Self::Api => "an API process is killed",
            Self::Worker => "the worker is killed",
            Self::Redis => "Redis is stopped",
            Self::Nats => "NATS is killed",
            Self::Shard => "a shard's server is killed",
        }
    }

    async fn stop(self, stack: &Stack) {
        let servers = stack.servers();
        match self {
            Self::Api => stack.kill_api(1).await,
            Self::Worker => stack.kill_worker().await,
            Self::Redis => servers.redis().stop().await,
            Self::Nats => servers.nats().kill().await,
            Self::Shard => servers.postgres()[1].kill().await,
        }
    }

    async fn start(self, stack: &Stack) -> anyhow::Result<()> {
        let servers = stack.servers();
        match self {
            Self::Api => stack.start_api(1).await,
            Self::Worker => stack.start_worker_again().await,
            Self::Redis => servers.redis().start().await,
            Self::Nats => servers.nats().start().await,
            Self::Shard => servers.postgres()[1].start().await,
        }
    }
}

/// Breaks one thing after the other, and lets each come back; all within four fifths of the time.
pub async fn break_things(stack: &Stack, begin: Instant, seconds: u32) -> anyhow::Result<Vec<Harm>> {
    let pause = (Duration::from_secs(seconds.into()).mul_f64(0.8) / 5).saturating_sub(AWAY);
    let mut harms = Vec::new();
    for part in Part::ALL {
        sleep(pause).await;
        harms.push(Harm { second: begin.elapsed().as_secs(), what: part.harm() });
        part.stop(stack).await;
        sleep(AWAY).await;
        part.start(stack).await?;
    }
    Ok(harms)
}
