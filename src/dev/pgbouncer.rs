//! `PgBouncer` in transaction mode before one `PostgreSQL` server, as many deployments have it. Tests use it.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use sqlx::{Connection as _, PgConnection};

use super::folder;
use super::home::Home;
use super::postgres::{Postgres, USER};
use super::process::{Child, Program};
use super::user::User;

/// Earlier ones mix up prepared statements in transaction mode: they answer with the wrong rows.
const OLDEST: (u32, u32) = (1, 21);

/// How many connections to the server clients share.
pub const POOL_SIZE: u32 = 4;

/// How many prepared statements a connection to the server keeps.
const PREPARED: u32 = 200;

/// A `PgBouncer` server.
pub struct Pgbouncer {
    child: Child,
    port: u16,
    password: String,
}

impl Pgbouncer {
    pub(super) async fn new(
        home: &Home,
        number: usize,
        port: u16,
        server: &Postgres,
    ) -> anyhow::Result<Self> {
        let slug = format!("pgbouncer-{number}");
        // It does not run as root either.
        let user = User::of_servers()?;
        let folder = folder::of_data(&home.dir().join(&slug), user.as_ref()).await?;
        let installed = find()?;
        let program = folder.join("pgbouncer");
        // Root's folders are closed to the user that it runs as.
        std::fs::copy(&installed, &program)
            .with_context(|| format!("{} can't be copied", installed.display()))?;
        let (users, config) = (folder.join("users.txt"), folder.join("pgbouncer.ini"));
        let password = server.password().to_owned();
        write(&users, user.as_ref(), &format!("\"{USER}\" \"{password}\"\n"))?;
        write(&config, user.as_ref(), &configuration(port, server.port(), &users))?;
        let child = Child::new(Program {
            name: format!("PgBouncer {number}"),
            path: program,
            args: vec![config.clone().into()],
            env: Vec::new(),
            user,
            marker: config.to_string_lossy().into_owned(),
            log: home.log(&slug),
            pid_file: home.pid_file(&slug),
        });
        Ok(Self { child, port, password })
    }

    /// The address of a database through the pooler, with the password.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Starts it, again on its port, and waits until it lets clients through.
    pub async fn start(&self) -> anyhow::Result<()> {
        self.child.start(|| async { Ok(self.answers().await.is_ok()) }).await
    }

    pub async fn stop(&self) {
        self.child.stop().await;
    }

    /// Kills it, as a power cut would.
    pub async fn kill(&self) {
        self.child.kill().await;
    }

    async fn answers(&self) -> sqlx::Result<()> {
        let mut connection = PgConnection::connect(&self.url("postgres")).await?;
        connection.ping().await?;
        connection.close().await
    }
}

fn configuration(port: u16, server: u16, users: &Path) -> String {
    let settings = [
        ("listen_addr", "127.0.0.1".to_owned()),
        ("listen_port", port.to_string()),
        ("unix_socket_dir", String::new()),
        ("auth_type", "scram-sha-256".to_owned()),
        ("auth_file", users.display().to_string()),
        ("pool_mode", "transaction".to_owned()),
        ("max_prepared_statements", PREPARED.to_string()),
        ("default_pool_size", POOL_SIZE.to_string()),
        ("max_client_conn", "400".to_owned()),
        // The driver sets it when it connects, to what servers have by themselves.
        ("ignore_startup_parameters", "extra_float_digits".to_owned()),
        // A server that is back is used at once.
        ("server_login_retry", "0.25".to_owned()),
        ("log_connections", "0".to_owned()),
        ("log_disconnections", "0".to_owned()),
    ];
    let lines: Vec<String> = settings.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    format!("[databases]\n* = host=127.0.0.1 port={server}\n\n[pgbouncer]\n{}\n", lines.join("\n"))
}

/// A file that only the user reads whom the server runs as.
fn write(file: &Path, owner: Option<&User>, text: &str) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut written = options.write(true).create(true).truncate(true).mode(0o600).open(file)?;
    written.write_all(text.as_bytes())?;
    if let Some(owner) = owner {
        chown(file, Some(owner.uid), Some(owner.gid))?;
    }
    Ok(())
}

/// One that is recent enough: of this machine, or what `scripts/setup.sh` has built in the cache folder.
fn find() -> anyhow::Result<PathBuf> {
    let installed = super::system::find_program("pgbouncer").ok();
    let built = cache().into_iter().flat_map(|cache| std::fs::read_dir(cache).into_iter().flatten());
    let built = built.flatten().map(|entry| entry.path().join("pgbouncer")).filter(|file| file.is_file());
    installed
        .into_iter()
        .chain(built)
        .find(|file| version(file).is_some_and(|found| found >= OLDEST))
        .context("PgBouncer 1.21 or later is not installed: run scripts/setup.sh test")
}

fn cache() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")))?;
    Some(cache.join("fowergram/pgbouncer"))
}

fn version(program: &Path) -> Option<(u32, u32)> {
    let output = Command::new(program).arg("--version").output().ok()?;
    // "PgBouncer 1.24.1" on the first line.
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.lines().next()?.split(' ').nth(1)?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
