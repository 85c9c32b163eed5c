//! One server.

use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::{Connection, PgConnection};

use crate::dev::process::{self, Child, Frozen};
use crate::dev::user::User;

/// Whom the servers know, and who owns all databases.
pub const USER: &str = "fowergram";

/// A `PostgreSQL` server.
pub struct Postgres {
    pub(super) child: Child,
    pub(super) port: u16,
    pub(super) password: String,
    pub(super) data: PathBuf,
    /// The folder of the server's tools.
    pub(super) bin: PathBuf,
    pub(super) user: Option<User>,
}

impl Postgres {
    /// The address of a database, with the password.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// Where it logs.
    pub fn log(&self) -> &Path {
        self.child.log()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A shell script that runs at the server as an operator's: as the server's user, with the server's tools first in
    /// the `PATH`, its data folder in `PGDATA`, and what libpq needs to reach it in the environment.
    pub fn script(&self, script: &str, env: &[(&str, String)]) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let own = [
            ("PATH", format!("{}:{path}", self.bin.display())),
            ("PGDATA", self.data.display().to_string()),
            ("PGHOST", "127.0.0.1".to_owned()),
            ("PGPORT", self.port.to_string()),
            ("PGUSER", USER.to_owned()),
            ("PGPASSWORD", self.password.clone()),
        ];
        let args = ["-ec".into(), script.into()];
        process::command(Path::new("sh"), &args, &[&own, env].concat(), self.user.as_ref())
    }

    pub(in crate::dev) fn password(&self) -> &str {
        &self.password
    }

    /// The postmaster's process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.pid()
    }

    /// Runs statements, one after the other, in no transaction; for making databases.
    pub async fn execute(&self, database: &str, sql: &str) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.url(database)).await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Makes a database unless it is there.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.url("postgres")).await?;
        let there: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(name)
            .fetch_one(&mut connection)
            .await?;
        if !there {
            let statement = format!("create database \"{}\"", name.replace('"', "\"\""));
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
        }
        Ok(connection.close().await?)
    }

    /// Starts it, again on its port, and waits until it lets clients in; one that was killed recovers.
    pub async fn start(&self) -> anyhow::Result<()> {
        self.child.start(|| self.accepts_connections()).await
    }

    /// Ends it in good order, without waiting for its clients.
    pub async fn stop(&self) {
        self.child.stop().await;
    }

    /// Ends it in good order and starts it.
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.stop().await;
        self.start().await
    }

    /// Kills it and its children, as a power cut would.
    pub async fn kill(&self) {
        self.child.kill().await;
    }

    /// Stops its clock, until the answer is dropped: connections stay open and nothing answers.
    pub fn freeze(&self) -> Frozen<'_> {
        self.child.freeze()
    }

    async fn accepts_connections(&self) -> anyhow::Result<bool> {
        match PgConnection::connect(&self.url("postgres")).await {
            Ok(connection) => {
                connection.close().await.ok();
                Ok(true)
            }
            // "Starting up"; other answers (a wrong password) don't change with time.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() != Some("57P03") => {
                Err(error.into())
            }
            Err(_) => Ok(false),
        }
    }

    /// Starts a standby and waits until it follows its primary.
    pub async fn start_following(&self) -> anyhow::Result<()> {
        const WITHIN: std::time::Duration = std::time::Duration::from_secs(10);
        self.start().await?;
        let mut connection = PgConnection::connect(&self.url("postgres")).await?;
        let streams = async {
            while sqlx::query("select 1 from pg_stat_wal_receiver where status = 'streaming'")
                .fetch_optional(&mut connection)
                .await?
                .is_none()
            {
                tokio::time::sleep(std::time::Duration::from_millis(15)).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(WITHIN, streams)
            .await
            .map_err(|_| anyhow::anyhow!("{} can't follow; see its log", self.child.name()))??;
        Ok(connection.close().await?)
    }
}
