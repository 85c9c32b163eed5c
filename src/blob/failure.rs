//! What answers of the storage mean.

use std::fmt::Write as _;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::model::{Error, ServerFault};

pub(super) fn status<E>(fault: &SdkError<E>) -> Option<u16> {
    fault.raw_response().map(|response| response.status().as_u16())
}

pub(super) fn is_missing<E>(fault: &SdkError<E>) -> bool {
    status(fault) == Some(404)
}

/// Logs the cause. Of an answer only its code: the rest of it may quote what was sent.
pub(super) fn unavailable<E>(operation: &'static str) -> impl FnOnce(SdkError<E>) -> Error
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

pub(super) fn chain(fault: &dyn std::error::Error) -> String {
    let mut text = fault.to_string();
    let mut cause = fault.source();
    while let Some(next) = cause {
        let _ = write!(text, ": {next}");
        cause = next.source();
    }
    text
}

/// Why the bucket can't be used.
pub(super) fn fault<E: std::error::Error + 'static>(error: &SdkError<E>) -> ServerFault {
    match status(error) {
        Some(301 | 307) => ServerFault::OtherRegion,
        Some(404) => ServerFault::NoBucket,
        // S3 says 400 to a key or token that has ended. The answer to HEAD has no body that says more.
        Some(400 | 401 | 403) => ServerFault::WrongCredentials,
        Some(_) => ServerFault::Unreachable,
        None => match error {
            SdkError::TimeoutError(_) => ServerFault::TooSlow,
            error => ServerFault::of_tls(error).unwrap_or(ServerFault::Unreachable),
        },
    }
}
