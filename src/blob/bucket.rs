//! The bucket itself.

use std::time::Duration;

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};

use super::Blob;
use super::failure::{fault, is_missing, status, unavailable};
use crate::model::{Result, ServerFault};

const READY_TIMEOUT: Duration = Duration::from_millis(1_500);

impl Blob {
    /// Whether the bucket is there and lets this process in, and why not; takes no longer than 1.5 seconds.
    pub async fn ready(&self) -> Result<(), ServerFault> {
        let once = aws_sdk_s3::Config::builder().retry_config(RetryConfig::disabled());
        let ask = self.client.head_bucket().bucket(&self.bucket).customize().config_override(once).send();
        match tokio::time::timeout(READY_TIMEOUT, ask).await {
            Ok(answer) => answer.map(|_| ()).map_err(|error| fault(&error)),
            Err(_) => Err(ServerFault::TooSlow),
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
