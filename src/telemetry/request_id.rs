//! The name of a request in responses and log lines.

use std::fmt;

use bytes::Bytes;

/// The longest id that is taken from a client.
const MAX_LENGTH: usize = 64;

/// 1 to 64 of `A-Z a-z 0-9 - _`.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(Bytes);

tokio::task_local! {
    static CURRENT: RequestId;
}

impl RequestId {
    /// A new, random one.
    pub fn random() -> Self {
        let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        let mut text = vec![0; 36];
        id.hyphenated().encode_lower(&mut text);
        Self(text.into())
    }

    /// The one that a client sent, if it is sane.
    pub fn given(text: &[u8]) -> Option<Self> {
        let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (!text.is_empty() && text.len() <= MAX_LENGTH && text.iter().all(good))
            .then(|| Self(Bytes::copy_from_slice(text)))
    }

    pub const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The same bytes, not copied, as a header takes them.
    pub fn bytes(&self) -> Bytes {
        self.0.clone()
    }
}

/// A new one, for work that no request asked for.
impl Default for RequestId {
    fn default() -> Self {
        Self::random()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Runs a future so that its log lines carry the request's id.
///
/// A task-local and not a span: it costs nothing in a request that logs nothing.
pub fn within_request<F: Future>(id: RequestId, future: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(id, future)
}

/// The id of the request that runs in this task.
pub fn current_request() -> Option<RequestId> {
    CURRENT.try_with(Clone::clone).ok()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_sane_ids_are_taken() {
        assert!(RequestId::given(b"a-B_9").is_some());
        for bad in [&b""[..], b"a b", b"a\nb", "ä".as_bytes(), &[b'a'; 65]] {
            assert!(RequestId::given(bad).is_none());
        }
        assert!(Uuid::try_parse(RequestId::random().as_str()).is_ok());
    }
}
