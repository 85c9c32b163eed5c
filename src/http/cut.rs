//! Cutting a connection off.

use tokio_util::sync::CancellationToken;

/// Ends the connection that a request came on, in the middle of an answer that is not read.
#[derive(Clone, Default)]
pub struct Cut(CancellationToken);

impl Cut {
    pub fn now(&self) {
        self.0.cancel();
    }

    /// Runs this to its end; none where it was cut off before.
    pub async fn run_until_cut<F: Future>(&self, work: F) -> Option<F::Output> {
        self.0.run_until_cancelled(work).await
    }
}
