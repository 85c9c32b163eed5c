//! The real servers of one machine, without containers: `PostgreSQL`, Redis and NATS as child
//! processes, an S3 server in this one. Development, tests and benchmarks use them.
//!
//! All of it listens on 127.0.0.1, keeps its files in one folder and ends with this process, however
//! that ends.

mod folder;
mod home;
mod nats;
mod pgbouncer;
mod plan;
mod port;
mod postgres;
mod process;
mod redis;
mod secret;
mod storage;
mod system;
mod user;

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::Context;
use futures_util::future::{join_all, try_join_all};

use home::Home;
pub use nats::Nats;
pub use pgbouncer::{POOL_SIZE, Pgbouncer};
pub use plan::Plan;
use postgres::Clusters;
pub use postgres::Postgres;
pub use process::{Child, Frozen, Program};
pub use redis::Redis;
pub use storage::Storage;
pub use system::find_postgres;

/// The running servers; dropped, they are told to end.
pub struct Servers {
    postgres: Vec<Postgres>,
    replica: Option<Postgres>,
    clusters: Clusters,
    redis: Redis,
    nats: Nats,
    storage: Storage,
    /// Last: dropped, and so unlocked, after the others.
    home: Home,
}

impl Servers {
    /// Starts them all at once and waits until each answers. An error is one line: which server, why,
    /// and what to do; what had started by then is stopped.
    pub async fn start(plan: &Plan, progress: impl Fn(&str)) -> anyhow::Result<Self> {
        anyhow::ensure!(plan.clusters > 0, "at least one PostgreSQL server is needed");
        let home = Home::open(&plan.dir).await?;
        let clusters = Clusters::open(&home, plan).await?;
        let Reserved { postgres, replica, redis, nats, storage: listener } = Reserved::new(plan)?;
        clusters.create(plan, &progress).await?;
        let postgres = (0..).zip(postgres).map(|(index, port)| clusters.primary(&home, index, port));
        let mut servers = Self {
            postgres: postgres.collect::<anyhow::Result<_>>()?,
            replica: None,
            clusters,
            redis: Redis::new(&home, redis)?,
            nats: Nats::new(&home, nats, plan.durable)?,
            storage: Storage::new(&home, port::of(&listener)?)?,
            home,
        };
        match servers.start_all(replica, listener, &progress).await {
            Ok(replica) => {
                servers.replica = replica;
                Ok(servers)
            }
            Err(error) => {
                servers.stop().await;
                Err(error)
            }
        }
    }

    async fn start_all(
        &self,
        replica: Option<u16>,
        listener: TcpListener,
        progress: &impl Fn(&str),
    ) -> anyhow::Result<Option<Postgres>> {
        let first = async {
            self.postgres[0].start().await?;
            progress(&format!("PostgreSQL 1 listens on port {}", self.postgres[0].port()));
            let Some(port) = replica else { return Ok(None) };
            let replica = self.clusters.replica(&self.home, &self.postgres[0], port).await?;
            progress(&format!("the replica of PostgreSQL 1 listens on port {port}"));
            anyhow::Ok(Some(replica))
        };
        let others = try_join_all(self.postgres.iter().zip(1..).skip(1).map(|(server, number)| async move {
            server.start().await?;
            progress(&format!("PostgreSQL {number} listens on port {}", server.port()));
            anyhow::Ok(())
        }));
        let redis = async {
            self.redis.start().await?;
            progress(&format!("Redis listens at {}", self.redis.url()));
            anyhow::Ok(())
        };
        let nats = async {
            self.nats.start().await?;
            progress(&format!("NATS listens at {}", self.nats.url()));
            anyhow::Ok(())
        };
        self.storage.start_on(listener)?;
        progress(&format!("object storage listens at {}", self.storage.endpoint()));
        let (replica, _, (), ()) = tokio::try_join!(first, others, redis, nats)?;
        Ok(replica)
    }

    /// The servers that hold shards.
    pub fn postgres(&self) -> &[Postgres] {
        &self.postgres
    }

    /// The streaming replica of the first, if the plan has one.
    pub fn replica(&self) -> Option<&Postgres> {
        self.replica.as_ref()
    }

    /// Makes the replica anew from the first server, on its port: one that was promoted can't follow again.
    pub async fn renew_replica(&self) -> anyhow::Result<()> {
        let replica = self.replica.as_ref().context("there is no replica")?;
        replica.stop().await;
        self.clusters.copy_primary(&self.postgres[0]).await?;
        replica.start_following().await
    }

    /// The replica's address of a database, with the password.
    pub fn replica_url(&self, database: &str) -> Option<String> {
        self.replica.as_ref().map(|replica| replica.url(database))
    }

    /// A pooler before each server that holds a shard, in their order; not yet started. They are the
    /// caller's, and end with it.
    pub async fn poolers(&self) -> anyhow::Result<Vec<Pgbouncer>> {
        let names: Vec<_> = (1..=self.postgres.len()).map(|number| format!("PgBouncer {number}")).collect();
        let ports = port::reserve(None, &names)?;
        let mut poolers = Vec::with_capacity(ports.len());
        for (number, (listener, server)) in (1..).zip(ports.iter().zip(&self.postgres)) {
            poolers.push(Pgbouncer::new(&self.home, number, port::of(listener)?, server).await?);
        }
        Ok(poolers)
    }

    /// The process ids of the servers that are processes of their own, by name; `PostgreSQL`'s with those of
    /// its connections and workers.
    pub fn pids(&self) -> [(&'static str, Vec<u32>); 3] {
        let postmasters: Vec<u32> = self.postgres.iter().filter_map(Postgres::pid).collect();
        let children = postmasters.iter().copied().flat_map(system::children);
        let postgres = postmasters.iter().copied().chain(children).collect();
        let one = |pid: Option<u32>| pid.into_iter().collect();
        [("PostgreSQL", postgres), ("Redis", one(self.redis.pid())), ("NATS", one(self.nats.pid()))]
    }

    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    pub fn nats(&self) -> &Nats {
        &self.nats
    }

    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Stops them all at once and waits for them.
    pub async fn stop(self) {
        self.storage.stop();
        let postgres = join_all(self.postgres.iter().chain(&self.replica).map(Postgres::stop));
        tokio::join!(postgres, self.redis.stop(), self.nats.stop());
    }
}

/// The ports of a plan.
struct Reserved {
    postgres: Vec<u16>,
    replica: Option<u16>,
    redis: u16,
    nats: u16,
    /// Not let go: the storage is served by this process.
    storage: TcpListener,
}

impl Reserved {
    fn new(plan: &Plan) -> anyhow::Result<Self> {
        let mut names: Vec<_> = (1..=plan.clusters).map(|number| format!("PostgreSQL {number}")).collect();
        names.extend(plan.replica.then(|| "the replica of PostgreSQL 1".to_owned()));
        names.extend(["Redis", "NATS", "object storage"].map(str::to_owned));
        let mut listeners = port::reserve(plan.first_port, &names)?.into_iter();
        let mut next = || listeners.next().context("each server has a port");
        Ok(Self {
            postgres: (0..plan.clusters).map(|_| Ok(port::of(&next()?)?)).collect::<anyhow::Result<_>>()?,
            replica: if plan.replica { Some(port::of(&next()?)?) } else { None },
            redis: port::of(&next()?)?,
            nats: port::of(&next()?)?,
            storage: next()?,
        })
    }
}

/// The file in `dir` with the Ed25519 key that signs access tokens, drawn at the first call.
pub fn token_key(dir: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(dir)?;
    let file = dir.join("token-key.pem");
    secret::signing_key(&file)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
