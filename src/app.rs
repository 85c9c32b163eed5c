//! The parts put together: the only place where dependencies meet.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::Schema;
use futures_util::future::{join, join_all};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::blob::Blob;
use crate::bus::Bus;
use crate::cache::{Feeds, Positions};
use crate::config::Config;
use crate::domain::account::Accounts;
use crate::domain::account::session::revocation::watch_revocations;
use crate::domain::feed::FanOut;
use crate::domain::viewer::Viewer;
use crate::domain::{Domain, Parts, Writes};
use crate::graphql::context::RequestContext;
use crate::graphql::context::RequestMeta;
use crate::graphql::engine::Engine;
use crate::graphql::{Mutation, Query, Subscription};
use crate::live::Hub;
use crate::model::{Clock, Error, Result, ServerFault};
use crate::store::migrate::schema;
use crate::store::{Store, Tables};
use crate::telemetry;
use crate::worker;

/// How many committed transactions may wait for the relay; the outbox keeps those that find no place.
const COMMITTED: usize = 4096;
/// How often the shard map is read again.
const MAP_PERIOD: Duration = Duration::from_secs(5);
/// How long a part may take to say that it is there.
const READY_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a starting process asks a slow Redis what kind of server it is.
const MAX_FIRST_QUESTIONS: usize = 5;

/// What a process does beside answering for its own health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Answers requests.
    Api,
    /// Does the work behind them.
    Worker,
    /// Both, on one machine.
    Both,
}

impl Role {
    /// As in metrics and traces.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
            Self::Both => "dev",
        }
    }
}

/// A running process. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Inner>);

struct Inner {
    config: Config,
    domain: Domain,
    engine: Engine,
    hub: Hub,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

/// A part of the system that this process uses.
#[derive(Debug, Serialize)]
pub struct Part {
    pub name: String,
    pub healthy: bool,
    /// Without it this process can't serve.
    pub required: bool,
    pub detail: Option<String>,
}

impl App {
    /// Connects to everything and starts the background tasks of the role. Only the shards must be there,
    /// and of those one: whatever else is down is used when it comes.
    pub async fn start(config: Config, role: Role, clock: Clock) -> anyhow::Result<Self> {
        config.check()?;
        // Before anything takes handles of metrics, which without a recorder count nothing.
        let metrics = telemetry::metrics();
        let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (committed, commits) = mpsc::channel(COMMITTED);
        let accounts = Accounts::new(&config.accounts, clock.clone(), config.shards.shards.len())?;
        let store = Store::open(&config.shards, clock.clone(), committed).await?;
        let bus = Bus::connect(&config.services).await?;
        // The coalescers end with their last asker; a stopping process need not wait for them.
        let coalescers = TaskTracker::new();
        let positions = Positions::open(&config.services, config.shards.written_for())?;
        let feeds = Feeds::open(&config.services, clock.clone())?;
        refuse_unsupported(&feeds).await?;
        let blob = Blob::open(&config.services.storage, clock.clone()).await?;
        let domain = Domain::new(Parts {
            tables: Tables::new(&store, &coalescers),
            writes: Writes::new(&store, &coalescers),
            fan_out: FanOut::new(&store, &feeds, &bus, &coalescers),
            feeds,
            positions: positions.clone(),
            blob: blob.clone(),
            accounts,
            limits: config.media.clone(),
            bus: bus.clone(),
            store: store.clone(),
            clock,
        });
        tasks.spawn(worker::relay::run(commits, store.clone(), bus.clone(), stopping.clone()));
        tasks.spawn(keep_map(store.clone(), stopping.clone()));
        let stop = stopping.clone();
        tasks.spawn(async move { stop.run_until_cancelled(metrics.upkeep()).await });
        let (version, role_name) = (env!("CARGO_PKG_VERSION"), role.name());
        ::metrics::gauge!("fowergram_build_info", "version" => version, "role" => role_name).set(1);
        let (watched, stop) = (store.clone(), stopping.clone());
        tasks.spawn(async move { stop.run_until_cancelled(watched.watch()).await });
        let stop = stopping.clone();
        tasks.spawn(async move { stop.run_until_cancelled(positions.watch()).await });
        let stop = stopping.clone();
        tasks.spawn(async move { stop.run_until_cancelled(blob.renew_keys()).await });
        if role != Role::Worker {
            tasks.spawn(watch_revocations(domain.clone(), stopping.clone()));
        }
        if role != Role::Api {
            worker::start(&tasks, &domain, &config.media, &stopping);
        }
        let hub = Hub::start(store, domain.feeds.clone(), bus, &tasks, stopping.clone());
        let is_traced = config.traces.otel_exporter_otlp_endpoint.is_some();
        let build = || Schema::build(Query::default(), Mutation::default(), Subscription::default());
        let engine = Engine::new(build, is_traced)?;
        Ok(Self(Arc::new(Inner { config, domain, engine, hub, stopping, tasks })))
    }

    pub fn config(&self) -> &Config {
        &self.0.config
    }

    pub fn domain(&self) -> &Domain {
        &self.0.domain
    }

    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// Cancelled when the process is to end: finish what runs, begin nothing new.
    pub fn stopping(&self) -> &CancellationToken {
        &self.0.stopping
    }

    pub fn tasks(&self) -> &TaskTracker {
        &self.0.tasks
    }

    /// Verifies a bearer token: cheap when it was seen before.
    pub async fn authenticate(&self, token: &str) -> Result<Viewer> {
        self.0.domain.authenticate(token).await
    }

    /// Ends when the viewer's session is revoked, or the token expires.
    pub async fn closed(&self, viewer: &Viewer) -> Error {
        self.0.domain.closed(viewer).await
    }

    /// What resolvers need for one request.
    pub fn request_data(&self, viewer: Option<Viewer>, meta: RequestMeta) -> RequestContext {
        RequestContext::new(self.0.domain.clone(), self.0.hub.clone(), viewer, meta)
    }

    /// The keys that verify access tokens, as a JSON Web Key Set.
    pub fn jwks(&self) -> serde_json::Value {
        self.0.domain.accounts.tokens.jwks().clone()
    }

    /// Sets the gauges of what is only looked at when somebody asks.
    pub fn record_state(&self) {
        self.0.domain.store.shards().iter().for_each(|shard| shard.record_pools());
        let changed =
            std::fs::metadata(&self.0.config.accounts.token_key_file).and_then(|file| file.modified());
        if let Some(age) = changed.ok().and_then(|changed| changed.elapsed().ok()) {
            metrics::gauge!("fowergram_token_key_age_seconds").set(age.as_secs_f64());
        }
    }

    /// Asks every part whether it is there, side by side.
    pub async fn readiness(&self) -> Vec<Part> {
        let domain = &self.0.domain;
        let shards = join_all(domain.store.shards().iter().map(|shard| async move {
            let answer = asked(async { shard.ping().await.map_err(|_| shard.fault()) });
            Part { name: format!("shard {}", shard.name), required: false, ..answer.await }
        }));
        let others = async {
            let redis = asked(domain.feeds.ready());
            let nats = asked(domain.bus.ready());
            let storage = asked(domain.blob.ready());
            let ((redis, nats), storage) = join(join(redis, nats), storage).await;
            [("redis", redis), ("nats", nats), ("storage", storage)].map(|(name, part)| Part {
                name: name.to_owned(),
                required: false,
                ..part
            })
        };
        let ((mut parts, others), schemas) = join(join(shards, others), schemas(&domain.store)).await;
        let served = parts.iter().filter(|part| part.healthy).count();
        let detail = Some(format!("{served} of {}", parts.len()));
        parts.push(Part { name: "any shard".to_owned(), healthy: served > 0, required: true, detail });
        parts.extend(schemas);
        parts.extend(domain.store.shards().iter().flat_map(|shard| {
            shard.replicas().into_iter().map(|replica| Part {
                name: format!("{} of shard {}", replica.name, shard.name),
                healthy: replica.healthy,
                required: false,
                detail: replica.fault.map(|fault| fault.to_string()),
            })
        }));
        parts.extend(others);
        parts
    }

    /// Waits until all background tasks have ended, but no longer than the grace period.
    pub async fn stop(&self) {
        self.0.stopping.cancel();
        self.0.tasks.close();
        let grace = Duration::from_millis(self.0.config.http.shutdown_grace_ms);
        if tokio::time::timeout(grace, self.0.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.0.tasks.len(), "some tasks did not end within the grace period");
        }
        self.0.domain.store.close();
    }
}

/// Fails if Redis is of a kind that can't hold the feeds. A Redis that is down, or too slow to say what it is, is used
/// once it answers.
async fn refuse_unsupported(feeds: &Feeds) -> anyhow::Result<()> {
    for _ in 0..MAX_FIRST_QUESTIONS {
        match in_time(feeds.ready()).await {
            Err(fault @ (ServerFault::RedisCluster | ServerFault::RedisSentinel)) => {
                anyhow::bail!("REDIS_URL: the server {fault}")
            }
            Err(ServerFault::TooSlow) => {}
            _ => break,
        }
    }
    Ok(())
}

async fn in_time(ready: impl Future<Output = Result<(), ServerFault>>) -> Result<(), ServerFault> {
    tokio::time::timeout(READY_TIMEOUT, ready).await.unwrap_or(Err(ServerFault::TooSlow))
}

/// Whether a part can be used, and why not; the caller names it.
async fn asked(ready: impl Future<Output = Result<(), ServerFault>>) -> Part {
    let fault = in_time(ready).await.err();
    Part {
        name: String::new(),
        healthy: fault.is_none(),
        required: false,
        detail: fault.map(|fault| fault.to_string()),
    }
}

/// How the schemas of the shards that answer stand to this program. One that lacks something is missed, and is no
/// reason to take no requests: the other shards are as good as ever.
async fn schemas(store: &Store) -> Vec<Part> {
    let parts = join_all(store.shards().iter().map(|shard| async move {
        let asked = tokio::time::timeout(READY_TIMEOUT, schema::version(shard)).await;
        let state = asked.ok()?.ok()?;
        let is_same = state.is_complete() && state.unknown.is_empty();
        Some(Part {
            name: format!("schema {}", shard.name),
            healthy: state.is_complete(),
            required: false,
            detail: (!is_same).then(|| state.to_string()),
        })
    }));
    parts.await.into_iter().flatten().collect()
}

async fn keep_map(store: Store, stopping: CancellationToken) {
    while stopping.run_until_cancelled(tokio::time::sleep(MAP_PERIOD)).await.is_some() {
        if let Err(error) = store.refresh_map().await {
            tracing::warn!(cause = %error, "the shard map can't be used");
        }
    }
}
