//! Reads and discards what a handler left of a request's body.
//!
//! A request may be refused before its body has been read. If the connection were closed then, a client that still
//! sends would see it reset and might never see the answer (RFC 9112, section 9.6). So the answer goes out at once, and
//! the rest of the body is read for a while. A connection whose body has come to its end takes the next request.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long the rest of a body is read at most. The two limits are those of nginx's `lingering_close`.
const LONGEST: Duration = Duration::from_secs(30);
/// How long to wait for its next piece.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A body whose rest is read when it is dropped, until the process stops.
pub struct Discarding {
    /// `None` when it has come to its end.
    body: Option<Incoming>,
    stopping: CancellationToken,
}

impl Discarding {
    pub fn new(body: Incoming, stopping: CancellationToken) -> Self {
        Self { body: Some(body), stopping }
    }
}

impl Body for Discarding {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Discarding {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| !body.is_end_stream());
        // Without a runtime there is no connection either.
        if let (Some(rest), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
            let stopping = self.stopping.clone();
            runtime.spawn(stopping.run_until_cancelled_owned(timeout(LONGEST, discard(rest))));
        }
    }
}

async fn discard(mut body: Incoming) {
    while let Ok(Some(Ok(_))) = timeout(LONGEST_PAUSE, body.frame()).await {}
}
