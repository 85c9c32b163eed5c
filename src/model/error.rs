//! What can go wrong, neutral of transport and of storage.

use std::borrow::Cow;
use std::sync::Arc;

/// A stable name for clients: `errors[].extensions.code`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    Unauthenticated,
    TokenExpired,
    TokenRevoked,
    InvalidCredentials,
    AccountSuspended,
    Forbidden,
    NotFound,
    BadUserInput,
    UsernameTaken,
    EmailTaken,
    Conflict,
    IdempotencyKeyReused,
    RateLimited,
    QueryTooDeep,
    QueryTooComplex,
    PageSizeInvalid,
    CursorInvalid,
    MediaNotReady,
    MediaRejected,
    PayloadTooLarge,
    StreamGap,
    SlowConsumer,
    ShardUnavailable,
    StorageUnavailable,
    Timeout,
    Internal,
    GraphqlParseFailed,
    GraphqlValidationFailed,
    PersistedQueryNotSupported,
}

impl Code {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::TokenExpired => "TOKEN_EXPIRED",
            Self::TokenRevoked => "TOKEN_REVOKED",
            Self::InvalidCredentials => "INVALID_CREDENTIALS",
            Self::AccountSuspended => "ACCOUNT_SUSPENDED",
            Self::Forbidden => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::UsernameTaken => "USERNAME_TAKEN",
            Self::EmailTaken => "EMAIL_TAKEN",
            Self::Conflict => "CONFLICT",
            Self::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
            Self::RateLimited => "RATE_LIMITED",
            Self::QueryTooDeep => "QUERY_TOO_DEEP",
            Self::QueryTooComplex => "QUERY_TOO_COMPLEX",
            Self::PageSizeInvalid => "PAGE_SIZE_INVALID",
            Self::CursorInvalid => "CURSOR_INVALID",
            Self::MediaNotReady => "MEDIA_NOT_READY",
            Self::MediaRejected => "MEDIA_REJECTED",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::StreamGap => "STREAM_GAP",
            Self::SlowConsumer => "SLOW_CONSUMER",
            Self::ShardUnavailable => "SHARD_UNAVAILABLE",
            Self::StorageUnavailable => "STORAGE_UNAVAILABLE",
            Self::Timeout => "TIMEOUT",
            Self::Internal => "INTERNAL",
            Self::GraphqlParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::GraphqlValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::PersistedQueryNotSupported => "PERSISTED_QUERY_NOT_SUPPORTED",
        }
    }
}

/// Every rule's refusal and every fault. Messages are for the people who use the API: they name no
/// table, no host and no library.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("Sign in first.")]
    Unauthenticated,
    #[error("The access token has expired; refresh it.")]
    TokenExpired,
    #[error("The session was signed out.")]
    TokenRevoked,
    #[error("The name, e-mail address or password is wrong.")]
    InvalidCredentials,
    #[error("The account is suspended.")]
    AccountSuspended,
    #[error("{0}")]
    Forbidden(&'static str),
    /// The thing does not exist, or the viewer may not know that it does.
    #[error("There is no such {0}.")]
    NotFound(&'static str),
    /// An argument is wrong; `field` is its path in the input, as in `input.caption`.
    #[error("{field} {message}")]
    Invalid { field: Cow<'static, str>, message: Cow<'static, str> },
    #[error("The username is taken.")]
    UsernameTaken,
    #[error("The e-mail address is taken.")]
    EmailTaken,
    #[error("{0}")]
    Conflict(&'static str),
    #[error("The idempotency key was used with another input.")]
    IdempotencyKeyReused,
    /// Too much at once; try again after so many milliseconds.
    #[error("Too many requests; try again later.")]
    RateLimited { retry_after_ms: u64 },
    #[error("{field} must be between 1 and {max}.")]
    PageSizeInvalid { field: &'static str, max: u32 },
    #[error("The cursor is not one of this list.")]
    CursorInvalid,
    /// The same of the cursor that a page ends before.
    #[error("The cursor is not one of this list.")]
    BeforeInvalid,
    #[error("The media is not ready.")]
    MediaNotReady,
    #[error("The file was refused: {0}.")]
    MediaRejected(Cow<'static, str>),
    #[error("The request is larger than {limit} bytes.")]
    PayloadTooLarge { limit: u64 },
    #[error("You read too slowly; subscribe again with your last cursor.")]
    SlowConsumer,
    /// The shard that holds the rows can't be reached; other users' rows are not touched by it.
    #[error("A part of the data can't be reached now; try again.")]
    ShardUnavailable,
    #[error("The file storage can't be reached now; try again.")]
    StorageUnavailable,
    #[error("The request took too long.")]
    Timeout,
    /// Anything else. The cause is logged and never shown.
    #[error("Something went wrong on our side.")]
    Internal(Arc<anyhow::Error>),
}

/// `Result` with the domain's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn invalid(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid { field: field.into(), message: message.into() }
    }

    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        Self::Internal(Arc::new(cause.into()))
    }

    pub const fn code(&self) -> Code {
        match self {
            Self::Unauthenticated => Code::Unauthenticated,
            Self::TokenExpired => Code::TokenExpired,
            Self::TokenRevoked => Code::TokenRevoked,
            Self::InvalidCredentials => Code::InvalidCredentials,
            Self::AccountSuspended => Code::AccountSuspended,
            Self::Forbidden(_) => Code::Forbidden,
            Self::NotFound(_) => Code::NotFound,
            Self::Invalid { .. } => Code::BadUserInput,
            Self::UsernameTaken => Code::UsernameTaken,
            Self::EmailTaken => Code::EmailTaken,
            Self::Conflict(_) => Code::Conflict,
            Self::IdempotencyKeyReused => Code::IdempotencyKeyReused,
            Self::RateLimited { .. } => Code::RateLimited,
            Self::PageSizeInvalid { .. } => Code::PageSizeInvalid,
            Self::CursorInvalid | Self::BeforeInvalid => Code::CursorInvalid,
            Self::MediaNotReady => Code::MediaNotReady,
            Self::MediaRejected(_) => Code::MediaRejected,
            Self::PayloadTooLarge { .. } => Code::PayloadTooLarge,
            Self::SlowConsumer => Code::SlowConsumer,
            Self::ShardUnavailable => Code::ShardUnavailable,
            Self::StorageUnavailable => Code::StorageUnavailable,
            Self::Timeout => Code::Timeout,
            Self::Internal(_) => Code::Internal,
        }
    }

    /// The argument that is wrong, where one is.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Invalid { field, .. } => Some(field),
            Self::PageSizeInvalid { field, .. } => Some(field),
            Self::CursorInvalid => Some("after"),
            Self::BeforeInvalid => Some("before"),
            _ => None,
        }
    }

    /// True for what may pass by itself: a consumer tries again, a client may.
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::ShardUnavailable
                | Self::StorageUnavailable
                | Self::Timeout
                | Self::RateLimited { .. }
                | Self::Internal(_)
        )
    }
}
