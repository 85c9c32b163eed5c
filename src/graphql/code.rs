//! The codes of errors, as they also stand in `errors[].extensions.code`.

use async_graphql::Enum;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::model::Code")]
pub enum ErrorCode {
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
