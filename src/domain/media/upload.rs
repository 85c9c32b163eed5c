//! How an image comes in: an address to put it to (or the file itself), then the worker, and only then
//! can it be shown.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

use super::{DeclaredType, ImageType, not_taken, original_key, variant_key, widths_of};
use crate::blob::PresignedPut;
use crate::domain::viewer::Viewer;
use crate::domain::{Domain, text};
use crate::model::event::Event;
use crate::model::id::{MediaId, UserId};
use crate::model::media::State;
use crate::model::{Error, Result};
use crate::store::Tx;
use crate::store::media::{self, Measured};

/// How long an address to put a file to is good.
const PUT_TTL: Duration = Duration::minutes(15);
/// Characters.
const MAX_ALT: usize = 500;
/// How many unused images of one shard are collected at a time.
const COLLECT: i64 = 200;

/// An upload as it is announced, checked.
#[derive(Debug, Clone)]
pub struct NewUpload {
    pub declared: DeclaredType,
    pub bytes: u64,
    pub sha256: [u8; 32],
    pub alt: Option<String>,
}

impl NewUpload {
    /// `sha256` is 64 hexadecimal digits.
    pub fn check(content_type: &str, bytes: i32, sha256: &str, alt: Option<&str>) -> Result<Self> {
        let bytes = u64::try_from(bytes).ok().filter(|bytes| *bytes > 0);
        Ok(Self {
            declared: DeclaredType::parse(content_type)?,
            bytes: bytes.ok_or_else(|| Error::invalid("input.bytes", "must be at least 1"))?,
            sha256: parse_sha256(sha256)?,
            alt: text::optional("input.alt", alt, MAX_ALT)?,
        })
    }
}

fn parse_sha256(text: &str) -> Result<[u8; 32]> {
    let wrong = || Error::invalid("input.sha256", "must be 64 hexadecimal digits");
    if text.len() != 64 || !text.is_ascii() {
        return Err(wrong());
    }
    let mut hash = [0; 32];
    for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| wrong())?;
    }
    Ok(hash)
}

impl Domain {
    /// Announces an upload: the row that waits for it, and where the file is to be put.
    pub async fn create_upload(
        &self,
        viewer: &Viewer,
        new: &NewUpload,
    ) -> Result<(media::Model, PresignedPut)> {
        if new.bytes > self.limits.max_image_bytes {
            return Err(Error::MediaRejected(
                format!("it is larger than {} bytes", self.limits.max_image_bytes).into(),
            ));
        }
        let row = self.row_for(viewer.user, new);
        let put = self.blob.presign_put(
            &original_key(row.id()),
            &new.declared.text,
            new.bytes,
            &new.sha256,
            PUT_TTL,
        );
        let inserted = &row;
        self.write(viewer.user, viewer.user.slot(), |tx| async move {
            media::insert(&tx, inserted.clone()).await
        })
        .await?;
        Ok((row, put))
    }

    /// Says that the file was put; the worker takes it from there. Again changes nothing.
    pub async fn finish_upload(&self, viewer: &Viewer, id: MediaId) -> Result<()> {
        let row = self.require_own_media(viewer, id).await?;
        match State::from_row(row.state) {
            State::AwaitingUpload => {}
            State::Failed => return Err(rejected(&row)),
            State::Processing | State::Ready => return Ok(()),
        }
        let head = self.blob.head(&original_key(id)).await?.ok_or(Error::MediaNotReady)?;
        if i64::try_from(head.bytes) != Ok(row.bytes) {
            return Err(Error::MediaRejected("it has another length than was announced".into()));
        }
        self.submit(id).await
    }

    /// Takes the file itself. What it is said to be matters only where its bytes don't say what it is.
    pub async fn upload_media(
        &self,
        viewer: &Viewer,
        content_type: &str,
        file: Bytes,
        alt: Option<&str>,
    ) -> Result<MediaId> {
        if file.is_empty() {
            return Err(Error::MediaRejected("it is empty".into()));
        }
        let declared = match ImageType::of(&file) {
            Some(known) => DeclaredType { text: known.as_mime().to_owned(), image: Some(known) },
            None => DeclaredType::parse(content_type)?,
        };
        if declared.image.is_none() {
            return Err(not_taken());
        }
        let new = NewUpload {
            declared,
            bytes: file.len() as u64,
            sha256: Sha256::digest(&file).into(),
            alt: text::optional("alt", alt, MAX_ALT)?,
        };
        let row = &self.row_for(viewer.user, &new);
        self.write(
            viewer.user,
            viewer.user.slot(),
            |tx| async move { media::insert(&tx, row.clone()).await },
        )
        .await?;
        self.blob.put(&original_key(row.id()), new.declared.as_mime(), file).await?;
        self.submit(row.id()).await?;
        Ok(row.id())
    }

    fn row_for(&self, owner: UserId, new: &NewUpload) -> media::Model {
        let now = self.clock.now();
        media::Model {
            id: MediaId::make(&self.clock, owner.slot()).uuid(),
            owner_id: owner.uuid(),
            state: State::AwaitingUpload as i16,
            content_type: new.declared.as_mime().to_owned(),
            bytes: i64::try_from(new.bytes).unwrap_or(i64::MAX),
            sha256: new.sha256.to_vec(),
            alt: new.alt.clone(),
            width: None,
            height: None,
            blurhash: None,
            failure: None,
            used_by: None,
            created_at: now,
            updated_at: now,
        }
    }

    async fn submit(&self, id: MediaId) -> Result<()> {
        self.store
            .tx(id.slot(), |tx| async move {
                if media::advance(&tx, id, State::AwaitingUpload, State::Processing).await? {
                    tx.emit(&Event::MediaUploaded { media: id })?;
                }
                Ok(())
            })
            .await
    }

    /// The worker's file: what was put, if it is what was announced.
    pub async fn uploaded_file(&self, row: &media::Model) -> Result<Bytes> {
        let limit = u64::try_from(row.bytes).unwrap_or(0);
        let file = match self.blob.get(&original_key(row.id()), limit).await {
            Ok(file) => file.ok_or(Error::MediaRejected("it is gone".into()))?,
            Err(Error::PayloadTooLarge { .. }) => {
                return Err(Error::MediaRejected("it is longer than was announced".into()));
            }
            Err(error) => return Err(error),
        };
        if Sha256::digest(&file).as_slice() != row.sha256 {
            return Err(Error::MediaRejected("it is not the file that was announced".into()));
        }
        Ok(file)
    }

    /// Keeps one size of an image.
    pub async fn put_variant(&self, id: MediaId, width: u32, file: Vec<u8>) -> Result<()> {
        self.blob.put(&variant_key(id, width), ImageType::Webp.as_mime(), file.into()).await
    }

    /// All sizes are kept: from now on the image can be shown. The original, with whatever it says about
    /// its maker, is deleted.
    pub async fn finish_media(&self, id: MediaId, measured: &Measured) -> Result<()> {
        self.store
            .tx(id.slot(), |tx| async move { media::finish(&tx, id, measured).await.map(|_| ()) })
            .await?;
        self.delete_original(id).await
    }

    /// Deletes what the owner uploaded; again changes nothing.
    pub async fn delete_original(&self, id: MediaId) -> Result<()> {
        self.blob.delete(&[original_key(id)]).await
    }

    /// The file can't be shown; the reason is kept for its owner.
    pub async fn reject_media(&self, id: MediaId, reason: &str) -> Result<()> {
        self.store.tx(id.slot(), |tx| async move { media::fail(&tx, id, reason).await }).await?;
        self.delete_original(id).await
    }

    async fn require_own_media(&self, viewer: &Viewer, id: MediaId) -> Result<std::sync::Arc<media::Model>> {
        let row = self.tables.media.get(id).await?;
        row.filter(|row| row.owner() == viewer.user).ok_or(Error::NotFound("media"))
    }

    /// Where an image can be fetched; `None` until it is ready.
    pub fn media_url(&self, row: &media::Model, wanted: Option<u32>) -> Option<String> {
        let width = u32::try_from(row.width?).ok()?;
        let ready = State::from_row(row.state) == State::Ready;
        ready.then(|| self.blob.url(&variant_key(row.id(), super::width_for(width, wanted))))
    }

    /// Collects the images of a shard that nothing shows: the objects first, then the row, so that a stop
    /// in between leaves nothing that is not found again. How many.
    pub async fn collect_media(&self, shard: usize) -> Result<usize> {
        let before = self.clock.now() - Duration::seconds(i64::from(self.limits.upload_ttl_seconds));
        let unused = self
            .store
            .read_shard(shard, async |connection| media::unused(&connection, before, COLLECT).await)
            .await?;
        for id in &unused {
            self.collect_one(*id, before).await?;
        }
        Ok(unused.len())
    }

    async fn collect_one(&self, id: MediaId, before: OffsetDateTime) -> Result<()> {
        let condemned = self
            .store
            .tx(id.slot(), |tx| async move { media::mark_for_deletion(&tx, id, before).await })
            .await?;
        if !condemned {
            return Ok(());
        }
        let Some(row) = self.tables.media.get(id).await? else { return Ok(()) };
        let width = row.width.and_then(|width| u32::try_from(width).ok()).unwrap_or(u32::MAX);
        let mut keys: Vec<String> = widths_of(width).map(|width| variant_key(id, width)).collect();
        keys.push(original_key(id));
        self.blob.delete(&keys).await?;
        self.store.read(id.slot(), async |connection| media::delete(&connection, id).await).await
    }
}

/// Why images can't be used, for an error; `field` is the argument that named them. Within the transaction
/// that would use them: one that waits for a second connection can wait for itself.
pub(in crate::domain) async fn why_unusable(
    tx: &Tx,
    owner: UserId,
    ids: &[MediaId],
    field: &'static str,
) -> Result<Error> {
    let rows = media::owned(tx, owner, ids).await?;
    for id in ids {
        let Some(row) = rows.iter().find(|row| row.id() == *id) else { return Ok(Error::NotFound("media")) };
        match State::from_row(row.state) {
            State::Failed => return Ok(rejected(row)),
            State::AwaitingUpload | State::Processing => return Ok(Error::MediaNotReady),
            State::Ready => {}
        }
    }
    Ok(Error::invalid(field, "names an image that is in use already"))
}

fn rejected(row: &media::Model) -> Error {
    let reason = row.failure.clone().unwrap_or_else(|| "it could not be read".to_owned());
    Error::MediaRejected(reason.into())
}
