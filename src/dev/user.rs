//! `postgres` refuses to run as root; root's servers run as the system user `postgres`.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use anyhow::Context;
/// A system user.
#[derive(Debug, Clone)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub home: PathBuf,
}

impl User {
    /// Whom `PostgreSQL` has to run as: `postgres` where this process is root, itself otherwise (`None`).
    pub fn of_servers() -> anyhow::Result<Option<Self>> {
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        if !is_root {
            return Ok(None);
        }
        let users = std::fs::read_to_string("/etc/passwd")?;
        users.lines().find_map(Self::parse).map(Some).context(
            "PostgreSQL does not run as root and there is no user `postgres`: run scripts/setup.sh dev, or as another user",
        )
    }

    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, _] = fields[..] else { return None };
        (name == "postgres").then_some(())?;
        Some(Self { uid: uid.parse().ok()?, gid: gid.parse().ok()?, home: home.into() })
    }
}
