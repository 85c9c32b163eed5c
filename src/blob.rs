//! The images' bytes, in any storage that speaks S3.

mod bucket;
mod connection;
mod failure;
mod object;
mod sign;

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::SharedCredentialsProvider;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use time::OffsetDateTime;

use crate::config::StorageConfig;
use crate::model::Clock;
use crate::model::clock::from_millis;
use sign::Signer;

/// Addresses of images change this often and are good for twice as long, so that a browser finds an
/// image it has seen in its cache, and no address it was given is good for less than an hour.
const URL_PERIOD_SECONDS: i64 = 3_600;
/// How long before temporary keys end new ones are asked for.
const KEYS_MARGIN: Duration = Duration::from_mins(5);
/// How long to wait until keys are asked for again.
const KEYS_RETRY: Duration = Duration::from_secs(10);

/// The bucket. Cheap to clone; connections are pooled and opened when they are needed.
#[derive(Debug, Clone)]
pub struct Blob {
    client: Client,
    credentials: SharedCredentialsProvider,
    bucket: String,
    region: String,
    signer: Arc<Signer>,
    cdn: Option<String>,
    clock: Clock,
}

/// How a client sends a file straight to the storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresignedPut {
    pub url: String,
    pub method: &'static str,
    /// To be sent as they are. The length is signed as well; every HTTP client sends it by itself.
    pub headers: Vec<(&'static str, String)>,
    pub expires_at: OffsetDateTime,
}

/// What is known of an object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub bytes: u64,
    pub content_type: Option<String>,
}

/// A line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub key: String,
    pub bytes: u64,
    pub modified: OffsetDateTime,
}

impl Blob {
    /// Does not connect to the storage yet, but looks for keys if the settings have none. Fails if there are none, or
    /// if the settings are invalid.
    pub async fn open(config: &StorageConfig, clock: Clock) -> anyhow::Result<Self> {
        let credentials = connection::credentials(config).await?;
        let keys = connection::current(&credentials).await?;
        Ok(Self {
            client: connection::client(config, credentials.clone())?,
            credentials,
            bucket: config.s3_bucket.clone(),
            region: config.s3_region.clone(),
            signer: Signer::new(config, &keys)?.into(),
            cdn: config.cdn_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()),
            clock,
        })
    }

    /// Renews temporary keys before they end, until dropped. Returns at once if the keys are permanent.
    pub async fn renew_keys(self) {
        while let Some(end) = self.signer.keys_end() {
            let left = end.duration_since(self.clock.now().into()).unwrap_or_default();
            tokio::time::sleep(left.saturating_sub(KEYS_MARGIN).max(KEYS_RETRY)).await;
            match connection::current(&self.credentials).await {
                Ok(keys) => self.signer.use_keys(&keys),
                Err(error) => tracing::warn!(cause = %format!("{error:#}"), "no new keys for the storage"),
            }
        }
    }

    /// Lets whoever has the answer put this one file under the key: of this type, length and SHA-256,
    /// which the storage checks. Computed here, without asking the storage.
    ///
    /// Some servers answer a wrong SHA-256 with an error and keep the file all the same, so whoever
    /// reads the file compares it again. `x-amz-content-sha256` would be checked earlier by those, but
    /// servers don't agree on how it is signed in an address.
    pub fn presign_put(
        &self,
        key: &str,
        content_type: &str,
        bytes: u64,
        sha256: &[u8; 32],
        valid_for: time::Duration,
    ) -> PresignedPut {
        let (length, checksum) = (bytes.to_string(), BASE64_STANDARD.encode(sha256));
        let signed = [
            ("content-length", length.as_str()),
            ("content-type", content_type),
            ("x-amz-checksum-sha256", checksum.as_str()),
        ];
        let now = self.clock.now();
        let url = self.signer.sign("PUT", key, &signed, now, valid_for.whole_seconds());
        PresignedPut {
            url,
            method: "PUT",
            headers: vec![("content-type", content_type.to_owned()), ("x-amz-checksum-sha256", checksum)],
            expires_at: now + valid_for,
        }
    }

    /// Where the object can be fetched: from the CDN if there is one, else from the storage with a
    /// signature that is good for one to two hours. The same for all who ask within an hour. Computed
    /// here, in some microseconds.
    pub fn url(&self, key: &str) -> String {
        if let Some(cdn) = &self.cdn {
            return format!("{cdn}/{key}");
        }
        let now = self.clock.unix_millis();
        let since = from_millis(now - now.rem_euclid(URL_PERIOD_SECONDS * 1_000));
        self.signer.sign("GET", key, &[], since, 2 * URL_PERIOD_SECONDS)
    }
}

#[cfg(test)]
mod tests;
