//! The object storage.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use secrecy::SecretString;
use url::Url;

use super::tls::TlsFiles;
use super::value::check_url;

#[derive(Debug, Clone, Args)]
pub struct StorageConfig {
    /// The S3 server that holds the images
    #[arg(long, env = "S3_ENDPOINT", default_value = "http://127.0.0.1:9000")]
    pub s3_endpoint: Url,

    /// The S3 server as clients reach it, where that is another address
    #[arg(long, env = "S3_PUBLIC_ENDPOINT")]
    pub s3_public_endpoint: Option<Url>,

    /// The bucket
    #[arg(long, env = "S3_BUCKET", default_value = "fowergram")]
    pub s3_bucket: String,

    /// The region in signatures
    #[arg(long, env = "S3_REGION", default_value = "us-east-1")]
    pub s3_region: String,

    /// How the bucket is named in addresses: as the first part of the path, or of the host's name
    #[arg(long, env = "S3_ADDRESSING", value_enum, default_value = "path")]
    pub s3_addressing: Addressing,

    /// The access key; absent, credentials are found as AWS's own programs find them: in the environment, a profile, a
    /// web identity token, or the container's or machine's role
    #[arg(long, env = "S3_ACCESS_KEY_ID")]
    pub s3_access_key_id: Option<String>,

    /// The secret key
    #[arg(long, env = "S3_SECRET_ACCESS_KEY", hide_env_values = true)]
    pub s3_secret_access_key: Option<SecretString>,

    /// The session token, of keys that are temporary
    #[arg(long, env = "S3_SESSION_TOKEN", hide_env_values = true)]
    pub s3_session_token: Option<SecretString>,

    /// The authorities of the S3 server's certificate (PEM); absent, those of the system
    #[arg(long, env = "S3_CA_FILE")]
    pub s3_ca_file: Option<PathBuf>,

    /// A CDN in front of the bucket; absent, image addresses are presigned
    #[arg(long, env = "CDN_URL")]
    pub cdn_url: Option<Url>,
}

/// Where the name of the bucket stands in an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Addressing {
    /// `https://s3.example/bucket/key`
    Path,
    /// `https://bucket.s3.example/key`
    Host,
}

impl StorageConfig {
    /// The files for TLS.
    pub fn tls(&self) -> TlsFiles {
        TlsFiles { ca: self.s3_ca_file.clone(), ..TlsFiles::default() }
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        let addresses = [
            ("S3_ENDPOINT", Some(&self.s3_endpoint)),
            ("S3_PUBLIC_ENDPOINT", self.s3_public_endpoint.as_ref()),
            ("CDN_URL", self.cdn_url.as_ref()),
        ];
        for (setting, url) in addresses {
            let Some(url) = url else { continue };
            check_url(setting, url, &["http", "https"])?;
            anyhow::ensure!(
                url.username().is_empty() && url.password().is_none(),
                "{setting}: has a user or a password, which is not sent"
            );
            anyhow::ensure!(
                url.query().is_none() && url.fragment().is_none(),
                "{setting}: has a part behind ? or #"
            );
            anyhow::ensure!(
                self.s3_addressing == Addressing::Path || setting == "CDN_URL" || url.domain().is_some(),
                "{setting}: S3_ADDRESSING=host needs a host's name and not an IP address"
            );
        }
        match (&self.s3_access_key_id, &self.s3_secret_access_key) {
            (Some(_), None) => anyhow::bail!("S3_SECRET_ACCESS_KEY is missing beside S3_ACCESS_KEY_ID"),
            (None, Some(_)) => anyhow::bail!("S3_ACCESS_KEY_ID is missing beside S3_SECRET_ACCESS_KEY"),
            (None, None) if self.s3_session_token.is_some() => {
                anyhow::bail!("S3_ACCESS_KEY_ID is missing beside S3_SESSION_TOKEN")
            }
            _ => {}
        }
        anyhow::ensure!(
            self.s3_endpoint.scheme() == "https" || self.s3_ca_file.is_none(),
            "S3_ENDPOINT: must be a https:// URL where S3_CA_FILE is set"
        );
        self.tls().check(["S3_CA_FILE", "", ""])
    }
}
