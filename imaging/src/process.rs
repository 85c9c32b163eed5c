//! From an uploaded file to images that are safe to show: checked, upright, free of metadata.
//!
//! Pure computation. It blocks for up to some seconds, so the caller runs it on a bounded pool.

use std::borrow::Cow;
use std::io::Cursor;

use fast_image_resize::{FilterType, MulDiv, ResizeAlg, ResizeOptions, Resizer};
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ExtendedColorType, ImageBuffer, ImageDecoder};
use moxcms::ColorProfile;

use colour::{Conversion, Model};

mod colour;
mod container;
mod deep;
mod exif;
mod jpeg;

/// The longest side of an image, in pixels.
const MAX_SIDE: u32 = 20_000;
/// How much longer one side may be than the other; WebP can say 16,383 pixels a side.
const MAX_ASPECT: u64 = 10;
/// What a decoder may allocate beside the picture: tables, text and profiles.
const DECODER_OVERHEAD: u64 = 32 * 1024 * 1024;
/// libwebp's scale of 0 to 100.
const QUALITY: f32 = 80.0;

/// The kinds of image that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Jpeg,
    Png,
    Webp,
}

impl Format {
    /// By the file's first bytes, which alone decide: what phones and browsers say is often something else.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::Webp),
            _ => None,
        }
    }
}

/// How large a file may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of the file.
    pub bytes: u64,
    /// Of the decoded image.
    pub pixels: u64,
}

/// Why there is no image to show.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The file's fault, in words for its owner.
    #[error("{0}")]
    Rejected(Cow<'static, str>),
    /// Not the file's fault.
    #[error("an image can't be made: {0}")]
    Internal(String),
}

type Result<T> = std::result::Result<T, Failure>;

/// An image that may be shown.
#[derive(Debug)]
pub struct Processed {
    /// Of the original, in pixels, after it was turned upright.
    pub width: u32,
    pub height: u32,
    /// Four by three components; see <https://blurha.sh>.
    pub blurhash: String,
    /// From wide to narrow.
    pub variants: Vec<Variant>,
}

/// One size of an image, as a WebP file.
#[derive(Debug)]
pub struct Variant {
    pub width: u32,
    pub height: u32,
    pub bytes: Vec<u8>,
}

/// An image as it lies in the file.
struct Decoded {
    /// RGB or RGBA of 8 bits, or four inks in the place of RGBA.
    pixels: DynamicImage,
    /// How to make them sRGB.
    conversion: Conversion,
    /// How to turn them upright.
    orientation: Orientation,
}

/// Checks the file, decodes it, turns it upright, converts it to sRGB and encodes it anew in each width.
/// Only pixels get from the file into what comes out: no EXIF, no text, no second file behind the image,
/// and no colour profile.
///
/// At its peak it takes 4 to 6 bytes a pixel of the original for most photos, 9 for a progressive JPEG,
/// and 12 for a progressive CMYK JPEG or a very tall image with transparency, beside the file and a copy;
/// nothing is allocated for pixels before the header's width and height have been found good.
///
/// `widths_of` names the widths for an image of a width, from narrow to wide: at least one, and none that
/// is wider than the image.
pub fn process(bytes: &[u8], limits: &Limits, widths_of: impl FnOnce(u32) -> Vec<u32>) -> Result<Processed> {
    if bytes.len() as u64 > limits.bytes {
        return Err(rejected("it has too many bytes"));
    }
    let decoded = match Format::of(bytes) {
        Some(Format::Jpeg) => jpeg::decode(bytes, limits)?,
        Some(Format::Png) => {
            let file = container::without_ancillary(bytes);
            let mut decoder =
                PngDecoder::with_limits(Cursor::new(&*file), decoder_limits(limits)).map_err(broken)?;
            if decoder.is_apng().map_err(broken)? {
                return Err(rejected("animations are not taken"));
            }
            let embedded = decoder.icc_profile().unwrap_or_default();
            let profile = |model| png_profile(bytes, embedded.as_deref(), model);
            decode(decoder, profile, container::png_chunk(bytes, *b"eXIf"), limits)?
        }
        Some(Format::Webp) => {
            if !container::is_whole_webp(bytes) {
                return Err(rejected("it is not a whole WebP"));
            }
            let file = container::webp_without_metadata(bytes);
            let decoder = WebPDecoder::new(Cursor::new(&*file)).map_err(broken)?;
            if decoder.has_animation() {
                return Err(rejected("animations are not taken"));
            }
            let profile = |model| {
                container::webp_chunk(bytes, *b"ICCP").and_then(|profile| colour::read(profile, model))
            };
            decode(decoder, profile, container::webp_chunk(bytes, *b"EXIF"), limits)?
        }
        None => return Err(rejected("it is neither JPEG nor PNG nor WebP")),
    };
    present(decoded, widths_of)
}

fn decoder_limits(limits: &Limits) -> image::Limits {
    let mut bounds = image::Limits::no_limits();
    bounds.max_image_width = Some(MAX_SIDE);
    bounds.max_image_height = Some(MAX_SIDE);
    bounds.max_alloc = Some(limits.pixels.saturating_mul(8).saturating_add(DECODER_OVERHEAD));
    bounds
}

fn check_size(width: u32, height: u32, limits: &Limits) -> Result<()> {
    let (short, long) = (width.min(height), width.max(height));
    if short == 0 {
        return Err(rejected("it has no pixels"));
    }
    if long > MAX_SIDE || u64::from(short) * u64::from(long) > limits.pixels {
        return Err(rejected("it has too many pixels"));
    }
    if u64::from(long) > u64::from(short) * MAX_ASPECT {
        return Err(rejected("it is too long and thin"));
    }
    Ok(())
}

/// A PNG's colours: by code points, or else by a profile, or else by stated numbers.
fn png_profile(bytes: &[u8], embedded: Option<&[u8]>, model: Model) -> Option<ColorProfile> {
    let chunk = |name: &[u8; 4]| container::png_chunk(bytes, *name);
    let coded = chunk(b"cICP").and_then(colour::coded);
    coded.or_else(|| match embedded {
        Some(profile) => colour::read(profile, model),
        None if chunk(b"sRGB").is_some() => None,
        None => colour::stated(chunk(b"gAMA")?, chunk(b"cHRM"), model),
    })
}

fn decode(
    mut decoder: impl ImageDecoder,
    profile: impl FnOnce(Model) -> Option<ColorProfile>,
    exif_block: Option<&[u8]>,
    limits: &Limits,
) -> Result<Decoded> {
    let (width, height) = decoder.dimensions();
    check_size(width, height, limits)?;
    decoder.set_limits(decoder_limits(limits)).map_err(broken)?;
    let color = decoder.color_type();
    let model = if color.has_color() { Model::Rgb } else { Model::Grey };
    let profile = profile(model);
    let mut conversion = Conversion::of(model, profile.as_ref(), color.has_alpha());
    let total = usize::try_from(decoder.total_bytes()).map_err(|_| rejected("it has too many pixels"))?;
    let mut raw = vec![0; total];
    decoder.read_image(&mut raw).map_err(broken)?;
    if color.bits_per_pixel() / u16::from(color.channel_count()) == 16 {
        let profile = profile.as_ref().filter(|_| !matches!(conversion, Conversion::None));
        if deep::make_shallow(&mut raw, color, profile) {
            conversion = Conversion::None;
        }
    }
    let pixels = match color {
        ColorType::L8 | ColorType::L16 => ImageBuffer::from_raw(width, height, raw)
            .map(|it| DynamicImage::ImageLuma8(it).into_rgb8().into()),
        ColorType::La8 | ColorType::La16 => ImageBuffer::from_raw(width, height, raw)
            .map(|it| DynamicImage::ImageLumaA8(it).into_rgba8().into()),
        ColorType::Rgb8 | ColorType::Rgb16 => {
            ImageBuffer::from_raw(width, height, raw).map(DynamicImage::ImageRgb8)
        }
        ColorType::Rgba8 | ColorType::Rgba16 => {
            ImageBuffer::from_raw(width, height, raw).map(DynamicImage::ImageRgba8)
        }
        _ => return Err(rejected("its colours are of a kind that is not taken")),
    };
    let pixels = pixels.ok_or_else(|| rejected("it is damaged"))?;
    let orientation = exif_block.and_then(exif::orientation).unwrap_or(Orientation::NoTransforms);
    Ok(Decoded { pixels, conversion, orientation })
}

/// Encodes each width. The original is made smaller first, and turned and converted after, and each width
/// is made from the next wider one, so that only one buffer of full size is ever held.
fn present(decoded: Decoded, widths_of: impl FnOnce(u32) -> Vec<u32>) -> Result<Processed> {
    let Decoded { pixels, conversion, orientation } = decoded;
    let on_its_side = matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    let (width, height) = match (pixels.width(), pixels.height()) {
        (width, height) if on_its_side => (height, width),
        upright => upright,
    };
    let mut widths = widths_of(width);
    widths.reverse();
    let first = (widths[0], height_at(widths[0], width, height));
    let (across, down) = if on_its_side { (first.1, first.0) } else { first };
    let alpha = pixels.color().has_alpha() && !conversion.takes_inks();
    let mut image = conversion.apply(shrink(pixels, across, down, alpha)?);
    image.apply_orientation(orientation);

    let mut variants = Vec::with_capacity(widths.len());
    for wanted in widths {
        image = shrink(image, wanted, height_at(wanted, width, height), alpha)?;
        variants.push(Variant { width: image.width(), height: image.height(), bytes: encode(&image)? });
    }
    let tiny = shrink(image, 32, 32, alpha)?.into_rgba8();
    let blurhash = blurhash::encode(4, 3, 32, 32, &tiny).map_err(internal)?;
    Ok(Processed { width, height, blurhash, variants })
}

fn height_at(wanted: u32, width: u32, height: u32) -> u32 {
    let (wanted, width, height) = (u64::from(wanted), u64::from(width), u64::from(height));
    let rounded = (wanted * height + width / 2) / width;
    u32::try_from(rounded).unwrap_or(u32::MAX).max(1)
}

/// Takes the image and gives it back in this size. Colours are multiplied by alpha where they lie, as
/// the resizer would otherwise copy the whole image to do so.
fn shrink(mut from: DynamicImage, width: u32, height: u32, alpha: bool) -> Result<DynamicImage> {
    if (from.width(), from.height()) == (width, height) {
        return Ok(from);
    }
    let options =
        ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3)).use_alpha(false);
    let mut to = DynamicImage::new(width, height, from.color());
    if alpha {
        MulDiv::new().multiply_alpha_inplace(&mut from).map_err(internal)?;
    }
    // Not kept for the next call: it would keep its buffers, too.
    Resizer::new().resize(&from, &mut to, &options).map_err(internal)?;
    if alpha {
        MulDiv::new().divide_alpha_inplace(&mut to).map_err(internal)?;
    }
    Ok(to)
}

fn encode(image: &DynamicImage) -> Result<Vec<u8>> {
    let (width, height) = (image.width(), image.height());
    let encoder = match image {
        DynamicImage::ImageRgb8(pixels) => webp::Encoder::from_rgb(pixels, width, height),
        DynamicImage::ImageRgba8(pixels) => webp::Encoder::from_rgba(pixels, width, height),
        other => {
            return Err(internal(ExtendedColorType::from(other.color())));
        }
    };
    match encoder.encode_simple(false, QUALITY) {
        Ok(file) => Ok(file.to_vec()),
        Err(fault) => Err(internal(fault)),
    }
}

fn rejected(why: impl Into<Cow<'static, str>>) -> Failure {
    Failure::Rejected(why.into())
}

fn internal(fault: impl std::fmt::Debug) -> Failure {
    Failure::Internal(format!("{fault:?}"))
}

/// A decoder's complaint names offsets and libraries, so it is logged and not shown.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
fn broken(fault: image::ImageError) -> Failure {
    tracing::debug!(%fault, "an uploaded image can't be decoded");
    match fault {
        image::ImageError::Limits(_) => rejected("it takes too much memory"),
        image::ImageError::Unsupported(_) => rejected("it uses features that are not taken"),
        _ => rejected("it is damaged"),
    }
}

#[cfg(test)]
mod tests;
