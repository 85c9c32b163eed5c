//! Bearer tokens.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use crate::app::App;
use crate::domain::viewer::Viewer;
use crate::model::{Error, Result};

/// The token in the `Authorization` header; none is an anonymous request.
pub fn bearer(headers: &HeaderMap) -> Result<Option<&str>> {
    match headers.get(AUTHORIZATION) {
        None => Ok(None),
        Some(value) => token(value.to_str().map_err(|_| Error::Unauthenticated)?).map(Some),
    }
}

/// The token in `Bearer …`. Another scheme is an error and not anonymous: the client means to sign in.
pub fn token(value: &str) -> Result<&str> {
    match value.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer ") && !token.trim().is_empty() => {
            Ok(token.trim())
        }
        _ => Err(Error::Unauthenticated),
    }
}

/// The token of a socket's payload, where many clients leave the scheme out.
pub fn lenient_token(value: &str) -> Result<&str> {
    let value = value.trim();
    if value.is_empty() || value.contains(char::is_whitespace) { token(value) } else { Ok(value) }
}

/// Resolves when a socket or stream of this viewer must end; for a stranger never.
pub async fn ended(app: App, viewer: Option<Viewer>) -> Error {
    match viewer {
        Some(viewer) => app.closed(&viewer).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bearer_tokens_are_taken() {
        assert_eq!(token("Bearer abc").ok(), Some("abc"));
        assert_eq!(token("bearer  abc ").ok(), Some("abc"));
        for bad in ["", "abc", "Bearer", "Bearer ", "Basic abc", "Bearerabc", "ääääää"] {
            assert!(token(bad).is_err(), "{bad}");
        }
        assert_eq!(lenient_token("Bearer abc").ok(), Some("abc"));
        assert_eq!(lenient_token(" abc\n").ok(), Some("abc"));
        for bad in ["", " ", "Basic abc", "abc def"] {
            assert!(lenient_token(bad).is_err(), "{bad}");
        }
    }
}
