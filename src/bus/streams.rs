//! The two streams: of events, and of events that an effect gave up.

use std::time::Duration;

use async_nats::jetstream::stream::{Config as StreamConfig, StorageType};
use async_nats::jetstream::{self, ErrorCode};
use tokio_util::sync::CancellationToken;

use super::Bus;
use super::connection::MAX_RECONNECT_DELAY;

const DAY: Duration = Duration::from_hours(24);
/// What the streams take from the server's disk at most. A server that has less to give gets a stream of
/// the second size.
const EVENT_BYTES: [i64; 2] = [1 << 30, 1 << 26];
const DEAD_BYTES: [i64; 2] = [1 << 26, 1 << 24];

impl Bus {
    /// Makes the two streams, or brings them to what they should be.
    pub async fn ensure_streams(&self) -> anyhow::Result<()> {
        self.ensure_stream(
            self.event_stream(),
            format!("{}.event.>", self.0.namespace),
            7 * DAY,
            EVENT_BYTES,
        )
        .await?;
        self.ensure_stream(self.dead_stream(), format!("{}.dead.>", self.0.namespace), 90 * DAY, DEAD_BYTES)
            .await
    }

    async fn ensure_stream(
        &self,
        name: String,
        subjects: String,
        max_age: Duration,
        [max_bytes, less]: [i64; 2],
    ) -> anyhow::Result<()> {
        let config = StreamConfig {
            name,
            subjects: vec![subjects],
            storage: StorageType::File,
            duplicate_window: Duration::from_mins(2),
            max_age,
            max_bytes,
            ..StreamConfig::default()
        };
        match self.0.admin.get_or_create_stream(config.clone()).await {
            Ok(stream) if same(&stream.cached_info().config, &config, less) => Ok(()),
            Ok(stream) => {
                let max_bytes = stream.cached_info().config.max_bytes;
                self.0.admin.update_stream(StreamConfig { max_bytes, ..config }).await?;
                Ok(())
            }
            Err(error) => {
                let jetstream::context::CreateStreamErrorKind::JetStream(cause) = error.kind() else {
                    return Err(error.into());
                };
                anyhow::ensure!(cause.error_code() == ErrorCode::STORAGE_RESOURCES_EXCEEDED, error);
                tracing::warn!(stream = config.name, "NATS has little room: a small stream is made");
                self.0.admin.create_stream(StreamConfig { max_bytes: less, ..config }).await?;
                Ok(())
            }
        }
    }

    /// Makes the streams as soon as NATS is there, and looks again after each new connection, until the
    /// process stops.
    pub async fn keep_streams(self, stopping: CancellationToken) {
        let mut reconnects = self.reconnects();
        let keep = async {
            let mut last = String::new();
            loop {
                reconnects.mark_unchanged();
                match self.ensure_streams().await {
                    Ok(()) => {
                        last.clear();
                        if reconnects.changed().await.is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        let error = format!("{error:#}");
                        if self.is_connected() && error != last {
                            tracing::warn!(%error, "the streams can't be made yet");
                            last = error;
                        }
                        tokio::time::sleep(MAX_RECONNECT_DELAY).await;
                    }
                }
            }
        };
        stopping.run_until_cancelled(keep).await;
    }

    /// Deletes the streams with all their messages.
    pub async fn delete_streams(&self) -> anyhow::Result<()> {
        for stream in [self.event_stream(), self.dead_stream()] {
            self.0.admin.delete_stream(stream).await?;
        }
        Ok(())
    }

    /// The stream of events.
    pub(crate) fn event_stream(&self) -> String {
        format!("{}_EVENTS", self.0.namespace.to_uppercase())
    }

    /// The stream of events that an effect gave up.
    pub(crate) fn dead_stream(&self) -> String {
        format!("{}_DEAD", self.0.namespace.to_uppercase())
    }
}

/// Whether a stream needs no change. Its size is left as it is: an operator, or a small server, chose it.
fn same(found: &StreamConfig, wanted: &StreamConfig, less: i64) -> bool {
    found.subjects == wanted.subjects
        && found.max_age == wanted.max_age
        && found.duplicate_window == wanted.duplicate_window
        && found.max_bytes >= less
}
