//! NATS.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::Url;

use super::tls::{self, TlsFiles};
use super::value::ServerUrl;

#[derive(Debug, Clone, Args)]
pub struct NatsConfig {
    /// NATS with `JetStream`, for events and live updates: nats:// or, with TLS, tls://; the servers of a cluster are
    /// separated by commas
    #[arg(long, env = "NATS_URL", default_value = "nats://127.0.0.1:4222", value_delimiter = ',', value_parser = ServerUrl::of_nats, hide_env_values = true)]
    pub nats_url: Vec<ServerUrl>,

    /// The credentials file for NATS, with a JWT and its key
    #[arg(long, env = "NATS_CREDENTIALS_FILE")]
    pub nats_credentials_file: Option<PathBuf>,

    /// The file with the nkey seed for NATS
    #[arg(long, env = "NATS_NKEY_FILE")]
    pub nats_nkey_file: Option<PathBuf>,

    /// The authorities of NATS's certificate (PEM); absent, those of the system
    #[arg(long, env = "NATS_CA_FILE")]
    pub nats_ca_file: Option<PathBuf>,

    /// The client certificate for NATS (PEM)
    #[arg(long, env = "NATS_CERT_FILE")]
    pub nats_cert_file: Option<PathBuf>,

    /// The key of the client certificate for NATS (PEM)
    #[arg(long, env = "NATS_KEY_FILE")]
    pub nats_key_file: Option<PathBuf>,
}

/// How this process logs in to NATS.
#[derive(Debug, Clone)]
pub enum NatsLogin {
    Nobody,
    Token(SecretString),
    Password {
        user: String,
        password: SecretString,
    },
    /// The content of a credentials file.
    Credentials(SecretString),
    /// The seed of an nkey.
    Nkey(SecretString),
}

impl NatsConfig {
    /// The files for TLS.
    pub fn tls(&self) -> TlsFiles {
        let [ca, cert, key] = [&self.nats_ca_file, &self.nats_cert_file, &self.nats_key_file];
        TlsFiles { ca: ca.clone(), cert: cert.clone(), key: key.clone() }
    }

    /// From the addresses or one of the files.
    pub fn login(&self) -> anyhow::Result<NatsLogin> {
        let mut given = Vec::from_iter(self.login_of_addresses()?);
        if let Some(path) = &self.nats_credentials_file {
            given.push(NatsLogin::Credentials(text("NATS_CREDENTIALS_FILE", path)?));
        }
        if let Some(path) = &self.nats_nkey_file {
            given.push(NatsLogin::Nkey(text("NATS_NKEY_FILE", path)?));
        }
        anyhow::ensure!(
            given.len() < 2,
            "NATS_URL, NATS_CREDENTIALS_FILE and NATS_NKEY_FILE: give credentials in one of them"
        );
        Ok(given.pop().unwrap_or(NatsLogin::Nobody))
    }

    /// Each address may have the credentials, or one of them. A user without a password is a token.
    fn login_of_addresses(&self) -> anyhow::Result<Option<NatsLogin>> {
        let mut given: Vec<&Url> = self.nats_url.iter().map(ServerUrl::expose).collect();
        given.retain(|url| !url.username().is_empty() || url.password().is_some());
        let [first, others @ ..] = &*given else { return Ok(None) };
        let is_same = |url: &&Url| (url.username(), url.password()) == (first.username(), first.password());
        anyhow::ensure!(others.iter().all(is_same), "NATS_URL: the servers have different credentials");
        let user = decoded(first.username())?;
        Ok(Some(match first.password() {
            None => NatsLogin::Token(user.into()),
            Some(password) => NatsLogin::Password { user, password: decoded(password)?.into() },
        }))
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        for url in &self.nats_url {
            url.check("NATS_URL", &["nats", "tls"])?;
        }
        self.login()?;
        self.tls().check(["NATS_CA_FILE", "NATS_CERT_FILE", "NATS_KEY_FILE"])
    }
}

fn decoded(text: &str) -> anyhow::Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded.context("NATS_URL: the credentials are not UTF-8")?.into_owned())
}

/// A file's text, without the line break at its end.
fn text(setting: &str, path: &Path) -> anyhow::Result<SecretString> {
    let text = String::from_utf8(tls::read(setting, path)?);
    let text = text.map_err(|_| anyhow::anyhow!("{setting}: {} is not a text", path.display()))?;
    anyhow::ensure!(!text.trim().is_empty(), "{setting}: {} is empty", path.display());
    Ok(text.trim().to_owned().into())
}
