//! Images, and how they come in.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result, SimpleObject, Upload};
use std::io::Read as _;
use std::sync::Arc;

use super::context::ContextExt;
use super::nullable::{Nullable, nullable};
use super::scalar::{DateTime, Url};
use crate::domain::media::upload::NewUpload;
use crate::model::Error;
use crate::model::id::MediaId;
use crate::model::media::State;
use crate::store::media;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum MediaKind {
    Image,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::model::media::State")]
pub enum MediaState {
    AwaitingUpload,
    Processing,
    Ready,
    Failed,
}

pub struct Media {
    row: Arc<media::Model>,
}

impl From<Arc<media::Model>> for Media {
    fn from(row: Arc<media::Model>) -> Self {
        Self { row }
    }
}

/// Loads the images of something that the viewer sees, in order; those that are gone are left out.
pub async fn load(ctx: &Context<'_>, ids: Vec<MediaId>) -> Result<Vec<Media>, Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut rows = ctx.loader().load_many(ids.iter().copied()).await?;
    Ok(ids.iter().filter_map(|id| rows.remove(id)).map(Media::from).collect())
}

/// An uploaded image.
#[Object]
impl Media {
    pub async fn id(&self) -> ID {
        self.row.id.into()
    }

    async fn kind(&self) -> MediaKind {
        MediaKind::Image
    }

    async fn state(&self) -> MediaState {
        State::from_row(self.row.state).into()
    }

    /// The address of the image, in the smallest size that is at least `width` pixels wide, or else in the largest;
    /// null until the image is ready. It is valid for at least an hour, but not longer than temporary keys of the
    /// storage.
    async fn url(&self, ctx: &Context<'_>, width: Option<i32>) -> Nullable<Url> {
        nullable(async {
            let wanted = match width {
                Some(width) => Some(
                    u32::try_from(width)
                        .ok()
                        .filter(|width| *width > 0)
                        .ok_or_else(|| Error::invalid("width", "must be at least 1"))?,
                ),
                None => None,
            };
            let address = ctx.domain().media_url(&self.row, wanted);
            Ok(address.map(Url))
        })
        .await
    }

    async fn alt(&self) -> Option<&str> {
        self.row.alt.as_deref()
    }

    async fn blurhash(&self) -> Option<&str> {
        self.row.blurhash.as_deref()
    }

    async fn width(&self) -> Option<i32> {
        self.row.width
    }

    async fn height(&self) -> Option<i32> {
        self.row.height
    }

    async fn bytes(&self) -> Option<i32> {
        i32::try_from(self.row.bytes).ok()
    }
}

#[derive(Debug, InputObject)]
pub struct UploadInput {
    pub kind: MediaKind,
    pub content_type: String,
    pub bytes: i32,
    /// The file's SHA-256 hash in 64 hexadecimal digits. The storage refuses a file with another hash.
    pub sha256: String,
    pub alt: Option<String>,
}

/// A header of an HTTP request.
#[derive(Debug, SimpleObject)]
pub struct Header {
    pub name: String,
    pub value: String,
}

#[derive(SimpleObject)]
pub struct UploadPayload {
    pub media: Media,
    pub method: String,
    pub url: Url,
    /// All of them must be sent with the file.
    pub headers: Vec<Header>,
    pub expires_at: DateTime,
}

#[derive(SimpleObject)]
pub struct MediaPayload {
    pub media: Media,
}

#[derive(Default)]
pub struct MediaMutation;

#[Object]
impl MediaMutation {
    /// Prepares an upload straight to the object storage, with a presigned address.
    async fn create_upload(&self, ctx: &Context<'_>, input: UploadInput) -> Nullable<UploadPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let new =
                NewUpload::check(&input.content_type, input.bytes, &input.sha256, input.alt.as_deref())?;
            let (row, put) = ctx.domain().create_upload(viewer, &new).await?;
            let headers =
                put.headers.into_iter().map(|(name, value)| Header { name: name.to_owned(), value });
            Ok(Some(UploadPayload {
                media: Media::from(Arc::new(row)),
                method: put.method.to_owned(),
                url: Url(put.url),
                headers: headers.collect(),
                expires_at: put.expires_at.into(),
            }))
        })
        .await
    }

    /// Says that the file was uploaded to the object storage, and starts its processing.
    async fn finish_upload(&self, ctx: &Context<'_>, media_id: ID) -> Nullable<MediaPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let id = MediaId::parse("mediaId", &media_id)?;
            ctx.domain().finish_upload(viewer, id).await?;
            payload(ctx, id).await
        })
        .await
    }

    /// Uploads a file through the API, as a GraphQL multipart request.
    async fn upload_media(
        &self,
        ctx: &Context<'_>,
        file: Upload,
        alt: Option<String>,
    ) -> Nullable<MediaPayload> {
        nullable(async {
            let viewer = ctx.require_viewer()?;
            let upload = file.value(ctx).map_err(|_| Error::invalid("file", "is missing"))?;
            let content_type = upload.content_type.clone().unwrap_or_default();
            let limit = ctx.domain().limits.max_image_bytes;
            let mut bytes = Vec::new();
            upload.content.take(limit + 1).read_to_end(&mut bytes).map_err(Error::internal)?;
            if bytes.len() as u64 > limit {
                return Err(Error::PayloadTooLarge { limit });
            }
            let taken = ctx.domain().upload_media(viewer, &content_type, bytes.into(), alt.as_deref());
            let id = Box::pin(taken).await?;
            payload(ctx, id).await
        })
        .await
    }
}

async fn payload(ctx: &Context<'_>, id: MediaId) -> Result<Option<MediaPayload>, Error> {
    let row = ctx.domain().tables.media.get(id).await?;
    Ok(row.map(|row| MediaPayload { media: row.into() }))
}
