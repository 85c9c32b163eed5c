//! What an image may be, and where its bytes lie.

pub mod upload;

use crate::model::id::MediaId;
use crate::model::{Error, Result};

/// The kinds of image that may be uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageType {
    Jpeg,
    Png,
    Webp,
}

/// What a client says of a file before its bytes are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredType {
    /// As it was written: this is what is signed, so that a client which sends its own type is let in as
    /// well as one that sends what it is told.
    pub text: String,
    /// None where it may be anything.
    pub image: Option<ImageType>,
}

/// What clients say that do not know what they send.
const UNKNOWN: &str = "application/octet-stream";
/// The longest name of a type, in bytes.
const MAX_TYPE: usize = 100;

impl DeclaredType {
    /// From a media type as a client names it, or from nothing. The bytes decide in the end; only what is
    /// said to be something else altogether is refused at once.
    pub fn parse(mime: &str) -> Result<Self> {
        let text = mime.trim();
        let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let image = match &*essence {
            "image/jpeg" | "image/jpg" | "image/pjpeg" | "image/jfif" | "image/x-jpeg" => {
                Some(ImageType::Jpeg)
            }
            "image/png" | "image/x-png" | "image/vnd.mozilla.apng" => Some(ImageType::Png),
            "image/webp" | "image/x-webp" => Some(ImageType::Webp),
            "" | UNKNOWN | "binary/octet-stream" | "image/*" | "*/*" => None,
            _ => return Err(not_taken()),
        };
        if text.is_empty() {
            return Ok(Self { text: UNKNOWN.to_owned(), image });
        }
        // It becomes a header, which must be the same on all ways.
        let is_plain = text.len() <= MAX_TYPE
            && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
            && !text.contains("  ");
        let text = match image {
            _ if is_plain => text,
            Some(image) => image.as_mime(),
            None => UNKNOWN,
        };
        Ok(Self { text: text.to_owned(), image })
    }

    /// What is kept of it.
    pub const fn as_mime(&self) -> &'static str {
        match self.image {
            Some(image) => image.as_mime(),
            None => UNKNOWN,
        }
    }
}

/// The refusal of all other types.
pub fn not_taken() -> Error {
    Error::MediaRejected("only JPEG, PNG and WebP images are taken".into())
}

impl ImageType {
    /// By a file's first bytes.
    pub fn of(file: &[u8]) -> Option<Self> {
        imaging::Format::of(file).map(|format| match format {
            imaging::Format::Jpeg => Self::Jpeg,
            imaging::Format::Png => Self::Png,
            imaging::Format::Webp => Self::Webp,
        })
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
    fn a_type_is_understood_as_clients_write_it() {
        for (text, image) in [
            ("image/jpeg", Some(ImageType::Jpeg)),
            ("image/jpg", Some(ImageType::Jpeg)),
            ("IMAGE/PNG; x=y", Some(ImageType::Png)),
            ("image/webp;q=1", Some(ImageType::Webp)),
            ("application/octet-stream", None),
            ("image/*", None),
        ] {
            let declared = DeclaredType::parse(&format!(" {text}\t")).expect("taken");
            assert_eq!((&*declared.text, declared.image), (text, image));
        }
        let nothing = DeclaredType::parse(" ").expect("taken");
        assert_eq!((&*nothing.text, nothing.as_mime(), nothing.image), (UNKNOWN, UNKNOWN, None));
        for other in
            ["image/gif", "image/svg+xml", "image/heic", "text/html", "jpeg", "image/", "image/jpeg2"]
        {
            assert!(matches!(DeclaredType::parse(other), Err(Error::MediaRejected(_))), "{other}");
        }
    }

    #[test]
    fn what_is_signed_can_be_a_header() {
        let long = format!("image/png; a={}", "b".repeat(200));
        for text in ["image/png; a=\u{e9}", "image/png;\r\nx-evil: 1", "image/png;  a=b", &long] {
            assert_eq!(DeclaredType::parse(text).expect("taken").text, "image/png", "{text}");
        }
        assert_eq!(DeclaredType::parse("image/*;\u{1}").expect("taken").text, UNKNOWN);
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
