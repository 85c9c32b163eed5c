//! The objects in the bucket.

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use time::OffsetDateTime;

use super::connection::OPERATION_TIMEOUT;
use super::failure::{chain, is_missing, unavailable};
use super::{Blob, Head, Object};
use crate::model::{Error, Result};

/// How many objects of one call are deleted at the same time.
const DELETES_AT_ONCE: usize = 8;
/// An object never changes; it is only deleted, and then no cache shows it for longer than this.
/// `public`, or a CDN would not keep it.
const CACHE_CONTROL: &str = "public, max-age=86400, immutable";

impl Blob {
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
}
