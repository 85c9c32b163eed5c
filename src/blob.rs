//! The images' bytes, in any storage that speaks S3.

use std::fmt::Write as _;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedHttpClient,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use aws_smithy_http_client::tls;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use secrecy::ExposeSecret as _;
use time::OffsetDateTime;
use url::Url;

use crate::config::ServiceConfig;
use crate::model::clock::from_millis;
use crate::model::{Clock, Error, Result};

mod sign;

use sign::Signer;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);
const READY_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How many objects of one call are deleted at the same time.
const DELETES_AT_ONCE: usize = 8;
/// Addresses of images change this often and are good for twice as long, so that a browser finds an
/// image it has seen in its cache, and no address it was given is good for less than an hour.
const URL_PERIOD_SECONDS: i64 = 3_600;
/// An object never changes; it is only deleted, and then no cache shows it for longer than this.
/// `public`, or a CDN would not keep it.
const CACHE_CONTROL: &str = "public, max-age=86400, immutable";

/// The bucket. Cheap to clone; connections are pooled and opened when they are needed.
#[derive(Debug, Clone)]
pub struct Blob {
    client: Client,
    bucket: String,
    region: String,
    signer: std::sync::Arc<Signer>,
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
    /// Opens no connection. Fails where the settings make no sense.
    pub fn new(config: &ServiceConfig, clock: Clock) -> anyhow::Result<Self> {
        let secret = &config.s3_secret_access_key;
        let credentials =
            Credentials::new(&config.s3_access_key_id, secret.expose_secret(), None, None, "configuration");
        let settings = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(http_client(&config.s3_endpoint))
            .endpoint_url(config.s3_endpoint.as_str())
            .region(Region::new(config.s3_region.clone()))
            .credentials_provider(credentials)
            .force_path_style(true)
            // Not every S3 server knows the newer checksums.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .operation_timeout(OPERATION_TIMEOUT)
                    .build(),
            )
            .build();
        let public = config.s3_public_endpoint.as_ref().unwrap_or(&config.s3_endpoint);
        Ok(Self {
            client: Client::from_conf(settings),
            bucket: config.s3_bucket.clone(),
            region: config.s3_region.clone(),
            signer: Signer::new(
                public,
                &config.s3_bucket,
                &config.s3_region,
                &config.s3_access_key_id,
                secret.clone(),
            )?
            .into(),
            cdn: config.cdn_url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()),
            clock,
        })
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

    pub async fn put(&self, key: &str, content_type: &str, bytes: Bytes) -> Result<()> {
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type)
            .cache_control(CACHE_CONTROL)
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map_err(unavailable("put"))?;
        Ok(())
    }

    /// The object's bytes; `None` where there is no such object, [`Error::PayloadTooLarge`] where it has
    /// more than `max_bytes`, of which no more are read.
    pub async fn get(&self, key: &str, max_bytes: u64) -> Result<Option<Bytes>> {
        // The client's own time limit ends with the answer's head.
        let read = tokio::time::timeout(OPERATION_TIMEOUT, self.read(key, max_bytes));
        read.await.unwrap_or_else(|_| {
            tracing::warn!(operation = "get", "the storage is too slow");
            Err(Error::StorageUnavailable)
        })
    }

    async fn read(&self, key: &str, max_bytes: u64) -> Result<Option<Bytes>> {
        let answer = match self.client.get_object().bucket(&self.bucket).key(key).send().await {
            Ok(answer) => answer,
            Err(fault) if is_missing(&fault) => return Ok(None),
            Err(fault) => return Err(unavailable("get")(fault)),
        };
        let too_large = Error::PayloadTooLarge { limit: max_bytes };
        let announced = answer.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or(0);
        if announced > max_bytes {
            return Err(too_large);
        }
        let mut body = answer.body;
        let mut bytes = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|fault| {
                tracing::warn!(operation = "get", cause = %chain(&fault), "the storage broke off");
                Error::StorageUnavailable
            })?;
            if (bytes.len() + chunk.len()) as u64 > max_bytes {
                return Err(too_large);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(bytes.freeze()))
    }

    /// Deletes what is there of these; what is not there is no fault. All are tried, also when one fails.
    ///
    /// One by one: a request that deletes many must carry a checksum, and servers don't agree on which.
    pub async fn delete(&self, keys: &[String]) -> Result<()> {
        let deletions =
            futures_util::stream::iter(keys.to_vec()).map(|key| async move { self.delete_one(&key).await });
        let mut done = deletions.buffer_unordered(DELETES_AT_ONCE);
        let mut outcome = Ok(());
        while let Some(result) = done.next().await {
            outcome = outcome.and(result);
        }
        outcome
    }

    async fn delete_one(&self, key: &str) -> Result<()> {
        match self.client.delete_object().bucket(&self.bucket).key(key).send().await {
            // Some servers say so of an object that isn't there. A bucket that isn't there is another matter.
            Err(fault) if fault.code() == Some("NoSuchKey") => Ok(()),
            answer => answer.map(|_| ()).map_err(unavailable("delete")),
        }
    }

    /// Up to `limit` objects (at most 1000) whose keys start with `prefix` and come behind `after`, by key.
    pub async fn list(&self, prefix: &str, after: Option<&str>, limit: u16) -> Result<Vec<Object>> {
        let answer = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            .set_start_after(after.map(str::to_owned))
            .max_keys(i32::from(limit))
            .send()
            .await
            .map_err(unavailable("list"))?;
        let objects = answer.contents.unwrap_or_default().into_iter().filter_map(|object| {
            Some(Object {
                key: object.key?,
                bytes: u64::try_from(object.size?).ok()?,
                modified: OffsetDateTime::from_unix_timestamp(object.last_modified?.secs()).ok()?,
            })
        });
        Ok(objects.collect())
    }

    pub async fn head(&self, key: &str) -> Result<Option<Head>> {
        match self.client.head_object().bucket(&self.bucket).key(key).send().await {
            Ok(answer) => Ok(Some(Head {
                bytes: answer.content_length().and_then(|length| u64::try_from(length).ok()).unwrap_or(0),
                content_type: answer.content_type,
            })),
            Err(fault) if is_missing(&fault) => Ok(None),
            Err(fault) => Err(unavailable("head")(fault)),
        }
    }

    /// Whether the bucket is there and lets this process in; takes no longer than 1.5 seconds.
    pub async fn ready(&self) -> Result<()> {
        let once = aws_sdk_s3::Config::builder().retry_config(RetryConfig::disabled());
        let ask = self.client.head_bucket().bucket(&self.bucket).customize().config_override(once).send();
        match tokio::time::timeout(READY_TIMEOUT, ask).await {
            Ok(answer) => answer.map(|_| ()).map_err(unavailable("ready")),
            Err(_) => Err(Error::StorageUnavailable),
        }
    }

    /// Makes the bucket. Two processes that start together may both call this.
    pub async fn create_bucket_if_missing(&self) -> Result<()> {
        match self.client.head_bucket().bucket(&self.bucket).send().await {
            Ok(_) => return Ok(()),
            Err(fault) if is_missing(&fault) => {}
            Err(fault) => return Err(unavailable("head bucket")(fault)),
        }
        // S3's first region is the one that may not be named.
        let place = (self.region != "us-east-1").then(|| {
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(self.region.as_str()))
                .build()
        });
        let made = self
            .client
            .create_bucket()
            .bucket(&self.bucket)
            .set_create_bucket_configuration(place)
            .send()
            .await;
        match made {
            Err(fault) if status(&fault) != Some(409) => Err(unavailable("create bucket")(fault)),
            _ => Ok(()),
        }
    }
}

fn http_client(endpoint: &Url) -> SharedHttpClient {
    let builder = aws_smithy_http_client::Builder::new();
    if endpoint.scheme() == "https" {
        builder.tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring)).build_https()
    } else {
        builder.build_http()
    }
}

fn status<E>(fault: &SdkError<E>) -> Option<u16> {
    fault.raw_response().map(|response| response.status().as_u16())
}

fn is_missing<E>(fault: &SdkError<E>) -> bool {
    status(fault) == Some(404)
}

/// Logs the cause. Of an answer only its code: the rest of it may quote what was sent.
fn unavailable<E>(operation: &'static str) -> impl FnOnce(SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    move |fault| {
        if let Some(refusal) = fault.as_service_error() {
            tracing::warn!(operation, status = status(&fault), code = refusal.code(), "the storage refuses");
        } else {
            tracing::warn!(operation, cause = %chain(&fault), "the storage can't be reached");
        }
        Error::StorageUnavailable
    }
}

fn chain(fault: &dyn std::error::Error) -> String {
    let mut text = fault.to_string();
    let mut cause = fault.source();
    while let Some(next) = cause {
        let _ = write!(text, ": {next}");
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests;
