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

/// Breaks one thing after the other, and lets each come back; all within four fifths of the time.
pub async fn break_things(stack: &Stack, begin: Instant, seconds: u32) -> anyhow::Result<Vec<Harm>> {
    let pause = (Duration::from_secs(seconds.into()).mul_f64(0.8) / 5).saturating_sub(AWAY);
    let servers = stack.servers();
    let mut harms = Vec::new();
    for what in [
        "an API process is killed",
        "the worker is killed",
        "Redis is stopped",
        "NATS is killed",
        "a shard's server is killed",
    ] {
        sleep(pause).await;
        harms.push(Harm { second: begin.elapsed().as_secs(), what });
        match what {
            "an API process is killed" => {
                stack.kill_api(1).await;
                sleep(AWAY).await;
                stack.start_api(1).await?;
            }
            "the worker is killed" => {
                stack.kill_worker().await;
                sleep(AWAY).await;
                stack.start_worker_again().await?;
            }
            "Redis is stopped" => {
                servers.redis().stop().await;
                sleep(AWAY).await;
                servers.redis().start().await?;
            }
            "NATS is killed" => {
                servers.nats().kill().await;
                sleep(AWAY).await;
                servers.nats().start().await?;
            }
            _ => {
                servers.postgres()[1].kill().await;
                sleep(AWAY).await;
                servers.postgres()[1].start().await?;
            }
        }
    }
    Ok(harms)
}
