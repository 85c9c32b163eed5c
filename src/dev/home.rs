//! The folder of a machine's servers, held by one launcher at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::process;

/// The folder; locked until it is dropped.
pub struct Home {
    dir: PathBuf,
    _lock: File,
}

impl Home {
    /// Makes and locks the folder, and ends what an earlier launcher left running.
    pub async fn open(dir: &Path) -> anyhow::Result<Self> {
        let open = || -> std::io::Result<_> {
            std::fs::create_dir_all(dir.join("logs"))?;
            std::fs::create_dir_all(dir.join("pids"))?;
            let dir = dir.canonicalize()?;
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(dir.join("lock"))?;
            Ok((dir, lock))
        };
        let (dir, mut lock) =
            open().with_context(|| format!("the folder {} can't be used", dir.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                lock.read_to_string(&mut holder)?;
                anyhow::bail!(
                    "{} is in use by process {holder}: stop that one first, or choose another folder",
                    dir.display()
                );
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        lock.set_len(0)?;
        write!(lock, "{}", std::process::id())?;
        process::end_leftovers(&dir.join("pids")).await?;
        for entry in std::fs::read_dir(dir.join("logs"))? {
            std::fs::remove_file(entry?.path())?;
        }
        Ok(Self { dir, _lock: lock })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A folder in it, made if it is not there.
    pub fn folder(&self, name: &str) -> std::io::Result<PathBuf> {
        let folder = self.dir.join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{name}.log"))
    }

    pub fn pid_file(&self, name: &str) -> PathBuf {
        self.dir.join("pids").join(name)
    }
}
