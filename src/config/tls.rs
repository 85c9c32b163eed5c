//! Certificates and keys, from files in PEM.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// The files for TLS to one server. Without `ca`, the system's certificate authorities are trusted; without
/// `cert` and `key`, no client certificate is sent.
#[derive(Debug, Clone, Default)]
pub struct TlsFiles {
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

impl TlsFiles {
    pub fn is_empty(&self) -> bool {
        self.ca.is_none() && self.cert.is_none() && self.key.is_none()
    }

    /// Reads the files, and checks that they fit together. An error names the setting and the file. The names of the
    /// settings come in the order of the fields.
    pub fn check(&self, [ca, cert, key]: [&str; 3]) -> anyhow::Result<()> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.ca {
            for authority in certificates(ca, path)? {
                let shown = path.display();
                roots.add(authority).with_context(|| {
                    format!("{ca}: a certificate in {shown} can't be used as an authority's")
                })?;
            }
        }
        let (certificate_path, key_path) = match (&self.cert, &self.key) {
            (None, None) => return Ok(()),
            (Some(certificate_path), Some(key_path)) => (certificate_path, key_path),
            (Some(_), None) => anyhow::bail!("{cert} is given without {key}"),
            (None, Some(_)) => anyhow::bail!("{key} is given without {cert}"),
        };
        let chain = certificates(cert, certificate_path)?;
        let private_key = private_key(key, key_path)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        builder.with_root_certificates(roots).with_client_auth_cert(chain, private_key).with_context(
            || {
                format!(
                    "{key}: the key in {} can't be used with the certificate in {}",
                    key_path.display(),
                    certificate_path.display()
                )
            },
        )?;
        Ok(())
    }
}

/// A file's bytes.
pub fn read(setting: &str, path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{setting}: can't read {}", path.display()))
}

fn certificates(setting: &str, path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let bytes = read(setting, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.with_context(|| format!("{setting}: {} is not well-formed PEM", path.display()))?;
    anyhow::ensure!(!found.is_empty(), "{setting}: there is no PEM certificate in {}", path.display());
    Ok(found)
}

fn private_key(setting: &str, path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    let bytes = read(setting, path)?;
    let is_encrypted = bytes.windows(9).any(|word| word == b"ENCRYPTED");
    anyhow::ensure!(!is_encrypted, "{setting}: the key in {} has a passphrase; remove it", path.display());
    PrivateKeyDer::from_pem_slice(&bytes)
        .with_context(|| format!("{setting}: there is no PEM private key in {}", path.display()))
}
