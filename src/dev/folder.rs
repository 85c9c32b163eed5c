//! Folders of data, given to the user that the servers run as.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sha2::{Digest, Sha256};

use super::process;
use super::user::User;

/// Makes the folder `place` for `PostgreSQL`'s data and gives it to the user that the servers run as.
///
/// Where that user can't enter the folders above (root's home is closed to others), the data goes into
/// a folder in the user's own home and `place` becomes a link to it.
pub async fn of_data(place: &Path, user: Option<&User>) -> anyhow::Result<PathBuf> {
    if !place.exists() {
        // A link whose target was deleted.
        std::fs::remove_file(place).ok();
        let parent = place.parent().context("the folder has no parent")?;
        match user {
            Some(user) if !can_enter(user, parent).await => {
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
            can_enter(user, &folder).await,
            "PostgreSQL runs as the user `postgres`, who can't enter {}: choose another folder",
            folder.display()
        );
    }
    Ok(folder)
}

async fn can_enter(user: &User, folder: &Path) -> bool {
    let args = ["-c".into(), "cd \"$0\"".into(), folder.into()];
    process::run(process::command(Path::new("/bin/sh"), &args, &[], Some(user)), "sh").await.is_ok()
}
