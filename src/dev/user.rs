//! `postgres` refuses to run as root; root's servers run as the system user `postgres`.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use anyhow::Context;
use sha2::{Digest, Sha256};

use super::process;

/// A system user.
#[derive(Debug, Clone)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    home: PathBuf,
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

    async fn can_enter(&self, folder: &Path) -> bool {
        let args = ["-c".into(), "cd \"$0\"".into(), folder.into()];
        process::run(process::command(Path::new("/bin/sh"), &args, &[], Some(self)), "sh").await.is_ok()
    }
}

/// Makes the folder `place` for `PostgreSQL`'s data and gives it to the user that the servers run as.
///
/// Where that user can't enter the folders above (root's home is closed to others), the data goes into
/// a folder in the user's own home and `place` becomes a link to it.
pub async fn data_folder(place: &Path, user: Option<&User>) -> anyhow::Result<PathBuf> {
    if !place.exists() {
        // A link whose target was deleted.
        std::fs::remove_file(place).ok();
        let parent = place.parent().context("the folder has no parent")?;
        match user {
            Some(user) if !user.can_enter(parent).await => {
                let digest = Sha256::digest(place.as_os_str().as_encoded_bytes());
                let name =
                    format!("fowergram-{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3]);
                let elsewhere = user.home.join(name);
                std::fs::create_dir_all(&elsewhere)?;
                std::os::unix::fs::symlink(&elsewhere, place)?;
            }
            _ => std::fs::create_dir(place)?,
        }
    }
    let folder = place.canonicalize()?;
    if let Some(user) = user {
        chown(&folder, Some(user.uid), Some(user.gid))?;
        anyhow::ensure!(
            user.can_enter(&folder).await,
            "PostgreSQL runs as the user `postgres`, who can't enter {}: choose another folder",
            folder.display()
        );
    }
    Ok(folder)
}
