//! From an uploaded file to an image that may be shown.

use std::sync::Arc;
use std::time::Instant;

use imaging::{Failure, Limits, Processed};
use tokio::sync::Semaphore;

use crate::config::MediaConfig;
use crate::domain::Domain;
use crate::domain::media::widths_of;
use crate::model::id::MediaId;
use crate::model::media::State;
use crate::model::{Error, Result};
use crate::store::media::Measured;

/// Works on so many images at once and no more: each takes up to 12 bytes a pixel.
#[derive(Clone)]
pub struct ImageProcessor {
    permits: Arc<Semaphore>,
    limits: Limits,
}

impl ImageProcessor {
    pub fn new(config: &MediaConfig) -> Self {
        let limits = Limits { bytes: config.max_image_bytes, pixels: config.max_image_pixels };
        Self { permits: Arc::new(Semaphore::new(config.image_workers)), limits }
    }

    /// How many images are worked on at once.
    pub fn permits(&self) -> usize {
        self.permits.available_permits()
    }

    /// Works on one upload. Repeats and restarts do no harm: the objects have fixed names, and the row
    /// turns ready once.
    pub async fn work(&self, domain: &Domain, id: MediaId) -> Result<()> {
        let Some(row) = domain.tables.media.get(id).await? else { return Ok(()) };
        match State::from_row(row.state) {
            State::Processing => {}
            // Whoever was here before stopped between the row and the object, or has done it all.
            State::Ready | State::Failed => return domain.delete_original(id).await,
            State::AwaitingUpload => return Ok(()),
        }
        let done = async {
            let place = self.permits.clone().acquire_owned().await.map_err(Error::internal)?;
            let file = domain.uploaded_file(&row).await?;
            let limits = self.limits;
            let worked = tokio::task::spawn_blocking(move || {
                let _place = place;
                let start = Instant::now();
                let processed = imaging::process(&file, &limits, |width| widths_of(width).collect());
                metrics::histogram!("fowergram_media_duration_seconds").record(start.elapsed());
                processed
            });
            match worked.await {
                Ok(Ok(processed)) => Ok(processed),
                Ok(Err(Failure::Rejected(why))) => Err(Error::MediaRejected(why)),
                Ok(Err(fault)) => Err(Error::internal(fault)),
                // A file that makes the decoder panic is rejected.
                Err(_) => Err(Error::MediaRejected("it can't be read".into())),
            }
        };
        match done.await {
            Ok(processed) => keep(domain, id, processed).await,
            Err(Error::MediaRejected(reason)) => {
                metrics::counter!("fowergram_media_rejected_total").increment(1);
                domain.reject_media(id, &reason).await
            }
            Err(error) => Err(error),
        }
    }
}

async fn keep(domain: &Domain, id: MediaId, processed: Processed) -> Result<()> {
    for variant in processed.variants {
        domain.put_variant(id, variant.width, variant.bytes).await?;
    }
    let side = |pixels: u32| i32::try_from(pixels).map_err(Error::internal);
    let measured = Measured {
        width: side(processed.width)?,
        height: side(processed.height)?,
        blurhash: processed.blurhash,
    };
    metrics::counter!("fowergram_media_processed_total").increment(1);
    domain.finish_media(id, &measured).await
}
