//! What an image may be, and where its bytes lie.

use crate::model::id::MediaId;
use crate::model::{Error, Result};

/// The kinds of image that may be uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageType {
    Jpeg,
    Png,
    Webp,
}

impl ImageType {
    /// From a media type as a client names it.
    pub fn parse(mime: &str) -> Result<Self> {
        let essence = mime.split(';').next().unwrap_or_default().trim();
        [Self::Jpeg, Self::Png, Self::Webp]
            .into_iter()
            .find(|known| known.as_mime().eq_ignore_ascii_case(essence))
            .ok_or(Error::MediaRejected("only JPEG, PNG and WebP images are taken".into()))
    }

    pub const fn as_mime(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Webp => "image/webp",
        }
    }

    pub const fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Png => "png",
            Self::Webp => "webp",
        }
    }
}

/// The widths, in pixels, in which an image is kept for showing.
pub const WIDTHS: [u32; 4] = [320, 640, 1080, 1600];
// At most ten times as high as wide: what is longer is not taken.
const _: () = assert!(WIDTHS[3] * 10 <= 16_383, "WebP can't say the height of the widest variant");

/// The widths that an image of this width has, from narrow to wide: those of [`WIDTHS`] that are
/// narrower, then its own or 1600. Never wider than the original.
pub fn widths_of(original: u32) -> impl Iterator<Item = u32> {
    let widest = original.min(WIDTHS[WIDTHS.len() - 1]);
    WIDTHS.into_iter().filter(move |width| *width < widest).chain([widest])
}

/// The narrowest width that fills `wanted` pixels, or the widest there is.
pub fn width_for(original: u32, wanted: Option<u32>) -> u32 {
    let widest = original.min(WIDTHS[WIDTHS.len() - 1]);
    match wanted {
        Some(wanted) => widths_of(original).find(|width| *width >= wanted).unwrap_or(widest),
        None => widest,
    }
}

/// What all of an image's keys start with. The slot comes first, so that a slot's objects can be listed.
pub fn key_prefix(id: MediaId) -> String {
    format!("{:04}/{}/", id.slot().number(), id.uuid())
}

/// Where the client puts the file. Nobody but the worker reads it.
pub fn original_key(id: MediaId) -> String {
    format!("{:04}/{}/original", id.slot().number(), id.uuid())
}

/// Where the image lies in one of [`widths_of`] its width.
pub fn variant_key(id: MediaId, width: u32) -> String {
    format!("{:04}/{}/{width}.webp", id.slot().number(), id.uuid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Clock;
    use crate::model::id::Slot;

    #[test]
    fn a_type_is_known_by_its_mime_name() {
        assert_eq!(ImageType::parse("image/jpeg").expect("known"), ImageType::Jpeg);
        assert_eq!(ImageType::parse("IMAGE/PNG; x=y").expect("known"), ImageType::Png);
        for other in ["image/gif", "image/svg+xml", "text/html", "image/jpg", ""] {
            assert!(matches!(ImageType::parse(other), Err(Error::MediaRejected(_))), "{other}");
        }
    }

    #[test]
    fn no_width_is_wider_than_the_original() {
        let widths = |original| widths_of(original).collect::<Vec<_>>();
        assert_eq!(widths(5000), [320, 640, 1080, 1600]);
        assert_eq!(widths(1080), [320, 640, 1080]);
        assert_eq!(widths(700), [320, 640, 700]);
        assert_eq!(widths(320), [320]);
        assert_eq!(widths(1), [1]);
    }

    #[test]
    fn a_wanted_width_is_filled_where_it_can_be() {
        assert_eq!(width_for(5000, None), 1600);
        assert_eq!(width_for(5000, Some(321)), 640);
        assert_eq!(width_for(5000, Some(9000)), 1600);
        assert_eq!(width_for(700, Some(650)), 700);
        assert_eq!(width_for(100, Some(320)), 100);
    }

    #[test]
    fn keys_start_with_the_slot() {
        let id = MediaId::make(&Clock::system(), Slot::new(7).expect("a slot"));
        assert_eq!(original_key(id), format!("0007/{id}/original"));
        assert_eq!(variant_key(id, 640), format!("0007/{id}/640.webp"));
        assert!(variant_key(id, 640).starts_with(&key_prefix(id)));
    }
}
