//! How to connect to the storage.

use std::time::Duration;

use anyhow::Context as _;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, ProvideCredentials as _, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, SharedCredentialsProvider, SharedHttpClient,
};

use aws_smithy_http_client::tls;
use secrecy::ExposeSecret as _;

use super::failure::chain;
use crate::config::{Addressing, StorageConfig};

/// How long one operation may take, with its retries.
pub(super) const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long credentials may take to be found: a machine's role is asked for over the network.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens no connection.
pub(super) fn client(
    config: &StorageConfig,
    credentials: SharedCredentialsProvider,
) -> anyhow::Result<Client> {
    let settings = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http_client(config)?)
        .endpoint_url(config.s3_endpoint.as_str())
        .region(Region::new(config.s3_region.clone()))
        .credentials_provider(credentials)
        .force_path_style(config.s3_addressing == Addressing::Path)
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
    Ok(Client::from_conf(settings))
}

/// The keys of the settings, or what finds others.
pub(super) async fn credentials(config: &StorageConfig) -> anyhow::Result<SharedCredentialsProvider> {
    if let (Some(access_key), Some(secret)) = (&config.s3_access_key_id, &config.s3_secret_access_key) {
        let token = config.s3_session_token.as_ref().map(|token| token.expose_secret().to_owned());
        let keys = Credentials::new(access_key, secret.expose_secret(), token, None, "settings");
        return Ok(SharedCredentialsProvider::new(keys));
    }
    let region = Region::new(config.s3_region.clone());
    let settings = ProviderConfig::without_region()
        .with_region(Some(region.clone()))
        .with_http_client(https_client(config)?);
    let chain = DefaultCredentialsChain::builder().configure(settings).region(region).build().await;
    Ok(SharedCredentialsProvider::new(chain))
}

/// The keys that are good now. An error is one line.
pub(super) async fn current(provider: &SharedCredentialsProvider) -> anyhow::Result<Credentials> {
    let ask = tokio::time::timeout(CREDENTIALS_TIMEOUT, provider.provide_credentials());
    let found = ask.await.context("finding the storage's credentials takes too long")?;
    found.map_err(|error| match error {
        CredentialsError::CredentialsNotLoaded(_) => anyhow::anyhow!(
            "S3_ACCESS_KEY_ID is not set, and there are no credentials in the environment, in a profile, of a web \
             identity or of a role"
        ),
        error => anyhow::anyhow!("the storage's credentials: {}", chain(&error).replace('\n', ";")),
    })
}

fn http_client(config: &StorageConfig) -> anyhow::Result<SharedHttpClient> {
    if config.s3_endpoint.scheme() == "https" {
        https_client(config)
    } else {
        Ok(aws_smithy_http_client::Builder::new().build_http())
    }
}

fn https_client(config: &StorageConfig) -> anyhow::Result<SharedHttpClient> {
    let authorities = match &config.s3_ca_file {
        Some(path) => tls::TrustStore::empty().with_pem_certificate(std::fs::read(path)?),
        None => tls::TrustStore::default(),
    };
    let context = tls::TlsContext::builder().with_trust_store(authorities).build()?;
    Ok(aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .tls_context(context)
        .build_https())
}
