//! The clusters of a launcher: their data folders, and the servers on them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::server::{Postgres, USER};
use crate::dev::home::Home;
use crate::dev::plan::Plan;
use crate::dev::process::{self, Child, Program};
use crate::dev::user::User;
use crate::dev::{folder, secret, system};

/// The file that makes a data folder that of a replica.
const STANDBY: &str = "standby.signal";

/// What all clusters of a launcher share.
pub struct Clusters {
    bin: PathBuf,
    /// Holds the data folders; where root is at work, possibly outside the launcher's folder.
    folder: PathBuf,
    user: Option<User>,
    password: String,
    settings: Vec<(&'static str, &'static str)>,
}

impl Clusters {
    pub async fn open(home: &Home, plan: &Plan) -> anyhow::Result<Self> {
        let bin = system::find_postgres()?;
        let user = User::of_servers()?;
        let folder = folder::of_data(&home.dir().join("postgres"), user.as_ref()).await?;
        let password = secret::password(&folder.join("password"), user.as_ref())?;
        Ok(Self { bin, folder, user, password, settings: settings(plan) })
    }

    /// The data folder of the `index`-th cluster.
    fn data(&self, index: u8) -> PathBuf {
        self.folder.join(format!("cluster-{}", index + 1))
    }

    fn replica_data(&self) -> PathBuf {
        self.folder.join("replica")
    }

    /// Makes the data folders that are missing: the first by `initdb`, the others as its copies.
    pub async fn create(&self, plan: &Plan, progress: impl Fn(&str)) -> anyhow::Result<()> {
        let mut missing: Vec<_> =
            (0..plan.clusters).map(|index| self.data(index)).filter(|data| !data.exists()).collect();
        if !self.data(0).exists() {
            remove(&self.replica_data())?;
            // Before the others: the last one takes the original.
            if plan.replica {
                missing.insert(0, self.replica_data());
            }
        }
        let Some((last, others)) = missing.split_last() else { return Ok(()) };
        progress(&format!("making the data folders of PostgreSQL ({})", missing.len()));
        let (fresh, copy) = (self.folder.join("fresh"), self.folder.join("copy"));
        remove(&fresh)?;
        self.initdb(&fresh).await?;
        // Renamed when they are whole, so that a start that was cut short leaves nothing half made.
        for data in others {
            remove(&copy)?;
            let args = ["-a".into(), fresh.clone().into(), copy.clone().into()];
            process::run(process::command(Path::new("cp"), &args, &[], self.user.as_ref()), "cp").await?;
            if *data == self.replica_data() {
                std::fs::write(copy.join(STANDBY), "")?;
            }
            std::fs::rename(&copy, data)?;
        }
        Ok(std::fs::rename(&fresh, last)?)
    }

    async fn initdb(&self, data: &Path) -> anyhow::Result<()> {
        // Letters beyond ASCII are letters, for search; macOS has no C.UTF-8.
        let locale = if cfg!(target_os = "macos") {
            ["--locale=C", "--lc-ctype=UTF-8"]
        } else {
            ["--locale=C.UTF-8", "--lc-messages=C"]
        };
        let mut args: Vec<OsString> = vec!["--pgdata".into(), data.into()];
        args.extend(["--pwfile".into(), self.folder.join("password").into()]);
        args.extend(
            ["--auth=scram-sha-256", "--encoding=UTF8", "--no-sync", "--no-instructions"].map(Into::into),
        );
        args.extend([format!("--username={USER}").into()]);
        args.extend(locale.map(Into::into));
        self.tool("initdb", &args).await
    }

    async fn tool(&self, name: &str, args: &[OsString]) -> anyhow::Result<()> {
        let env = [("PGPASSWORD", self.password.clone())];
        process::run(process::command(&self.bin.join(name), args, &env, self.user.as_ref()), name).await
    }

    /// The `index`-th cluster, not yet started.
    pub fn primary(&self, home: &Home, index: u8, port: u16) -> anyhow::Result<Postgres> {
        let number = index + 1;
        self.server(
            home,
            format!("PostgreSQL {number}"),
            &format!("postgres-{number}"),
            &self.data(index),
            port,
            Vec::new(),
        )
    }

    fn server(
        &self,
        home: &Home,
        name: String,
        slug: &str,
        data: &Path,
        port: u16,
        more: Vec<(&str, String)>,
    ) -> anyhow::Result<Postgres> {
        let marker = data.to_string_lossy().into_owned();
        forget_stale_pid(data, &marker)?;
        let mut args: Vec<OsString> = vec!["-D".into(), data.into(), "-p".into(), port.to_string().into()];
        let settings = self.settings.iter().map(|(key, value)| (*key, (*value).to_owned())).chain(more);
        args.extend(settings.flat_map(|(key, value)| ["-c".into(), format!("{key}={value}").into()]));
        let child = Child::new(Program {
            name,
            path: self.bin.join("postgres"),
            args,
            env: vec![("PGPASSWORD", self.password.clone())],
            user: self.user.clone(),
            marker,
            log: home.log(slug),
            pid_file: home.pid_file(slug),
        });
        Ok(Postgres {
            child,
            port,
            password: self.password.clone(),
            data: data.to_owned(),
            bin: self.bin.clone(),
            user: self.user.clone(),
        })
    }

    /// Starts a hot standby of `primary`, which runs; made anew if it is not there or can't follow.
    pub async fn replica(&self, home: &Home, primary: &Postgres, port: u16) -> anyhow::Result<Postgres> {
        let data = self.replica_data();
        let conninfo = format!("host=127.0.0.1 port={} user={USER} application_name=replica", primary.port);
        let more = vec![("primary_conninfo", conninfo)];
        let name = format!("the replica of {}", primary.child.name());
        let replica = self.server(home, name, "postgres-replica", &data, port, more)?;
        if data.exists() {
            match replica.start_following().await {
                Ok(()) => return Ok(replica),
                Err(error) => tracing::warn!("{error}; it is made anew"),
            }
            replica.stop().await;
        }
        self.copy_primary(primary).await?;
        replica.start_following().await?;
        Ok(replica)
    }

    /// Makes the replica's data folder anew, as a copy of `primary`'s, which runs.
    pub async fn copy_primary(&self, primary: &Postgres) -> anyhow::Result<()> {
        let (data, copy) = (&self.replica_data(), self.folder.join("copy"));
        remove(&copy)?;
        remove(data)?;
        let mut args: Vec<OsString> = vec!["--pgdata".into(), copy.clone().into()];
        args.extend(
            ["--host=127.0.0.1", "--checkpoint=fast", "--wal-method=stream", "--no-sync"].map(Into::into),
        );
        args.extend([format!("--port={}", primary.port).into(), format!("--username={USER}").into()]);
        self.tool("pg_basebackup", &args).await?;
        std::fs::write(copy.join(STANDBY), "")?;
        Ok(std::fs::rename(copy, data)?)
    }
}

fn settings(plan: &Plan) -> Vec<(&'static str, &'static str)> {
    // Tests run on many databases of a single cluster at once.
    let (connections, buffers) = if plan.clusters == 1 { ("400", "32MB") } else { ("100", "64MB") };
    let mut settings = vec![
        ("listen_addresses", "127.0.0.1"),
        // A socket's path may have 107 bytes at most; the folder's may be longer.
        ("unix_socket_directories", ""),
        ("max_connections", connections),
        ("shared_buffers", buffers),
        ("wal_level", "logical"),
        ("max_wal_senders", "20"),
        ("max_replication_slots", "20"),
        ("wal_keep_size", "256MB"),
        ("wal_compression", "on"),
        ("wal_retrieve_retry_interval", "100ms"),
        ("hot_standby", "on"),
        ("random_page_cost", "1.1"),
        ("jit", "off"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("log_min_messages", "warning"),
    ];
    if !plan.durable {
        // Commits still reach the system's cache before they are answered, so that a server that is killed
        // keeps them; without that, a test that kills one would miss what it was told is there.
        settings.extend([("fsync", "off"), ("full_page_writes", "off")]);
    }
    settings
}

/// A server that was killed leaves its process id behind, and refuses to start where another process
/// has got the same id meanwhile. The folder is locked, so no server runs on it.
fn forget_stale_pid(data: &Path, marker: &str) -> anyhow::Result<()> {
    let file = data.join("postmaster.pid");
    let Ok(text) = std::fs::read_to_string(&file) else { return Ok(()) };
    let pid = text.lines().next().and_then(|line| line.parse().ok());
    match pid.and_then(system::command_line) {
        Some(line) if line.contains(marker) => Ok(()),
        _ => std::fs::remove_file(&file).with_context(|| format!("{} can't be removed", file.display())),
    }
}

fn remove(folder: &Path) -> std::io::Result<()> {
    if folder.exists() { std::fs::remove_dir_all(folder) } else { Ok(()) }
}
