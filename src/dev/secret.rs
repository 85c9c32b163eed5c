//! Secrets that are made once and kept in files that only their owner reads.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, chown};
use std::path::Path;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey, KeypairBytes};

use super::user::User;

/// The password in `file`, drawn at the first call.
pub fn password(file: &Path, owner: Option<&User>) -> anyhow::Result<String> {
    once(file, owner, || Ok(uuid::Uuid::from_bytes(rand::random()).simple().to_string()))
}

/// The Ed25519 key in `file` (PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` writes it), drawn at
/// the first call.
pub fn signing_key(file: &Path) -> anyhow::Result<()> {
    once(file, None, || {
        let key = KeypairBytes { secret_key: rand::random(), public_key: None };
        Ok(key.to_pkcs8_pem(LineEnding::LF).map_err(|error| anyhow::anyhow!("{error}"))?.as_str().to_owned())
    })
    .map(drop)
}

/// What `file` holds, written there at the first call: whole or not at all, with mode 0600.
fn once(
    file: &Path,
    owner: Option<&User>,
    make: impl FnOnce() -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    match std::fs::read_to_string(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        other => return Ok(other?),
    }
    let text = make()?;
    let part = file.with_extension("part");
    std::fs::remove_file(&part).ok();
    let mut written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    written.write_all(text.as_bytes())?;
    if let Some(owner) = owner {
        chown(&part, Some(owner.uid), Some(owner.gid))?;
    }
    std::fs::rename(part, file)?;
    Ok(text)
}
