//! Why the server ends a socket.

use std::borrow::Cow;

use axum::extract::ws::{CloseFrame, Message};

use crate::model::Error;

/// A close reason and its code must fit into a control frame.
const MAX_REASON: usize = 123;

/// Why a socket ends. Clients reconnect after 1001, 1013, 4403 and 4408, and not after the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    code: u16,
    reason: Cow<'static, str>,
}

impl Close {
    const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason: Cow::Borrowed(reason) }
    }

    /// The process stops; another one takes over.
    pub const fn going_away() -> Self {
        Self::new(1001, "The server is restarting")
    }

    pub const fn too_big() -> Self {
        Self::new(1009, "The message is too long")
    }

    /// The client does not answer pings.
    pub const fn silent() -> Self {
        Self::new(1013, "The client is silent")
    }

    pub const fn invalid(reason: &'static str) -> Self {
        Self::new(4400, reason)
    }

    pub const fn unauthorized() -> Self {
        Self::new(4401, "Unauthorized")
    }

    /// Because of an error, which its code tells. What may pass by itself is to be tried again; else it is
    /// the token, which is not good, or no longer.
    pub fn because(error: &Error) -> Self {
        let passes = error.is_transient() || matches!(error, Error::SlowConsumer);
        Self { code: if passes { 1013 } else { 4403 }, reason: error.code().as_str().into() }
    }

    pub const fn no_init() -> Self {
        Self::new(4408, "Connection initialisation timeout")
    }

    pub fn duplicate(id: &str) -> Self {
        let reason = format!("Subscriber for {id} already exists");
        let end = reason.floor_char_boundary(MAX_REASON);
        Self { code: 4409, reason: reason[..end].to_owned().into() }
    }

    pub const fn second_init() -> Self {
        Self::new(4429, "Too many initialisation requests")
    }

    pub const fn code(&self) -> u16 {
        self.code
    }

    pub fn message(self) -> Message {
        Message::Close(Some(CloseFrame { code: self.code, reason: self.reason.into_owned().into() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_to_be_tried_again() {
        for (error, code, reason) in [
            (Error::TokenExpired, 4403, "TOKEN_EXPIRED"),
            (Error::SlowConsumer, 1013, "SLOW_CONSUMER"),
            (Error::RateLimited { retry_after_ms: 1 }, 1013, "RATE_LIMITED"),
            (Error::ShardUnavailable, 1013, "SHARD_UNAVAILABLE"),
        ] {
            assert_eq!(Close::because(&error), Close::new(code, reason));
        }
    }

    #[test]
    fn close_reasons_fit_their_frame() {
        let close = Close::duplicate(&"ß".repeat(64));
        assert!(close.reason.len() <= MAX_REASON);
    }
}
