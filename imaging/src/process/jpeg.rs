//! JPEG: the segments as libjpeg finds them, and the decoder behind.
//!
//! The decoder is given a file of nothing but what it needs. So it meets no stray bytes, nothing behind the
//! image and no broken metadata, and decides on colours as libjpeg would.

use image::metadata::Orientation;
use image::{DynamicImage, ImageBuffer};
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::colour::{self, Conversion, Model};
use super::{Decoded, Failure, Limits, MAX_SIDE, Result, check_size, exif, rejected};

const START: u8 = 0xd8;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;
const UNSUPPORTED: &str = "it uses features that are not taken";
const NOT_WHOLE: &str = "it is not a whole JPEG";
const DAMAGED: &str = "it is damaged";

/// What the frame header says.
#[derive(Clone, Copy)]
struct Frame {
    width: u32,
    height: u32,
    components: u8,
}

/// A JPEG taken apart.
#[derive(Default)]
struct Parts {
    frame: Option<Frame>,
    /// Tables, the frame and its scans, in their order.
    image: Vec<u8>,
    scans: u32,
    has_huffman_tables: bool,
    is_jfif: bool,
    /// The colour transform that Adobe's marker names.
    adobe: Option<u8>,
    orientation: Option<Orientation>,
    /// The numbered pieces of the colour profile, and how many there are to be.
    profile: Vec<(u8, u8, Vec<u8>)>,
}

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    let parts = Parts::read(bytes)?;
    let frame = parts.frame.ok_or_else(|| rejected(DAMAGED))?;
    check_size(frame.width, frame.height, limits)?;
    let (transform, wanted, model) = parts.colours(frame.components)?;
    let profile = parts.profile().and_then(|profile| colour::read(&profile, model));
    let conversion = Conversion::of(model, profile.as_ref(), false);
    let orientation = parts.orientation.unwrap_or(Orientation::NoTransforms);

    let file = parts.into_file(transform);
    let side = MAX_SIDE as usize;
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(side)
        .set_max_height(side)
        .jpeg_set_out_colorspace(wanted);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&file), options);
    decoder.decode_headers().map_err(|fault| broken(&fault))?;
    let length = frame.width as usize * frame.height as usize * wanted.num_components();
    let mut raw = vec![0; length];
    decoder.decode_into(&mut raw).map_err(|fault| broken(&fault))?;
    drop(decoder);
    drop(file);

    let (width, height) = (frame.width, frame.height);
    let pixels = match wanted {
        ColorSpace::Luma => ImageBuffer::from_raw(width, height, raw)
            .map(|it| DynamicImage::ImageLuma8(it).into_rgb8().into()),
        ColorSpace::RGB => ImageBuffer::from_raw(width, height, raw).map(DynamicImage::ImageRgb8),
        // Four inks, in the place of colours and transparency.
        _ => ImageBuffer::from_raw(width, height, raw).map(DynamicImage::ImageRgba8),
    };
    Ok(Decoded { pixels: pixels.ok_or_else(|| rejected(DAMAGED))?, conversion, orientation })
}

impl Parts {
    /// Follows the markers from the start to the end of the image. Bytes between segments that belong to
    /// none are passed over. Thumbnails lie inside of segments, so their end markers are not taken for the
    /// image's.
    fn read(bytes: &[u8]) -> Result<Self> {
        let [0xff, START, rest @ ..] = bytes else { return Err(rejected(NOT_WHOLE)) };
        let mut parts = Self { image: Vec::with_capacity(bytes.len()), ..Self::default() };
        let mut rest = rest;
        loop {
            let marker = next_marker(&mut rest).ok_or_else(|| rejected(NOT_WHOLE))?;
            match marker {
                END if parts.scans > 0 => return Ok(parts),
                END => return Err(rejected(NOT_WHOLE)),
                START => return Err(rejected(DAMAGED)),
                // They stand alone, and mean nothing here.
                0x01 | 0xd0..=0xd7 => continue,
                _ => {}
            }
            let length = rest.first_chunk().map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
            // The length counts its own two bytes.
            let segment = rest.get(..length).filter(|it| it.len() >= 2).ok_or_else(|| rejected(NOT_WHOLE))?;
            rest = &rest[length..];
            parts.take(marker, segment)?;
            if marker == SCAN {
                let end = end_of_scan(rest).ok_or_else(|| rejected(NOT_WHOLE))?;
                parts.image.extend_from_slice(&rest[..end]);
                parts.scans += 1;
                rest = &rest[end..];
            }
        }
    }

    fn take(&mut self, marker: u8, segment: &[u8]) -> Result<()> {
        let data = &segment[2..];
        match marker {
            // Baseline, extended and progressive.
            0xc0..=0xc2 => {
                let [8, high, low, wide, narrow, components, ..] = *data else {
                    let is_deep = data.len() >= 6;
                    return Err(rejected(if is_deep { UNSUPPORTED } else { DAMAGED }));
                };
                let frame = Frame {
                    width: u32::from(u16::from_be_bytes([wide, narrow])),
                    height: u32::from(u16::from_be_bytes([high, low])),
                    components,
                };
                if self.frame.replace(frame).is_some() {
                    return Err(rejected(DAMAGED));
                }
            }
            // Lossless, hierarchical and arithmetic.
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcf => return Err(rejected(UNSUPPORTED)),
            0xc4 => self.has_huffman_tables = true,
            SCAN | 0xdb | 0xdd => {}
            _ => {
                self.note(marker, data);
                return Ok(());
            }
        }
        self.image.extend_from_slice(&[0xff, marker]);
        self.image.extend_from_slice(segment);
        Ok(())
    }

    /// What a segment says that is no part of the image. What can't be understood says nothing.
    fn note(&mut self, marker: u8, data: &[u8]) {
        match marker {
            0xe0 => self.is_jfif |= data.starts_with(b"JFIF\0"),
            0xe1 if self.orientation.is_none() && data.starts_with(b"Exif\0") => {
                self.orientation = exif::orientation(data);
            }
            0xe2 => {
                if let Some([number, of, piece @ ..]) = data.strip_prefix(b"ICC_PROFILE\0") {
                    self.profile.push((*number, *of, piece.to_vec()));
                }
            }
            0xee if data.starts_with(b"Adobe") => self.adobe = data.get(11).copied().or(self.adobe),
            _ => {}
        }
    }

    /// The transform to name to the decoder, what it is to make, and what that is. As libjpeg decides.
    fn colours(&self, components: u8) -> Result<(Option<u8>, ColorSpace, Model)> {
        match (components, self.adobe) {
            (1, _) => Ok((None, ColorSpace::Luma, Model::Grey)),
            (3, Some(0)) if !self.is_jfif => Ok((Some(0), ColorSpace::RGB, Model::Rgb)),
            (3, _) => Ok((None, ColorSpace::RGB, Model::Rgb)),
            (4, None | Some(0)) => Ok((Some(0), ColorSpace::CMYK, Model::Cmyk)),
            (4, Some(_)) => Ok((Some(2), ColorSpace::YCCK, Model::Ycck)),
            _ => Err(rejected("its colours are of a kind that is not taken")),
        }
    }

    /// The colour profile, if all of its pieces are there.
    fn profile(&self) -> Option<Vec<u8>> {
        let mut pieces: Vec<_> = self.profile.iter().collect();
        pieces.sort_by_key(|(number, ..)| *number);
        pieces.dedup_by_key(|(number, ..)| *number);
        let is_whole = pieces
            .iter()
            .zip(1..)
            .all(|((number, of, _), expected)| *number == expected && usize::from(*of) == pieces.len());
        (is_whole && !pieces.is_empty()).then(|| pieces.iter().flat_map(|it| &it.2).copied().collect())
    }

    fn into_file(self, transform: Option<u8>) -> Vec<u8> {
        let mut head = vec![0xff, START];
        if let Some(transform) = transform {
            head.extend(b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0");
            head.push(transform);
        }
        if !self.has_huffman_tables {
            // A frame of Motion JPEG leaves out the usual tables.
            head.extend(b"\xff\xe0\0\x07AVI1\0");
        }
        let mut file = self.image;
        file.splice(..0, head);
        file.extend([0xff, END]);
        file
    }
}

/// Goes behind the next marker, over stray and fill bytes.
fn next_marker(rest: &mut &[u8]) -> Option<u8> {
    loop {
        *rest = &rest[memchr::memchr(0xff, rest)?..];
        let filled = rest.iter().position(|byte| *byte != 0xff)?;
        let marker = rest[filled];
        *rest = &rest[filled + 1..];
        if marker != 0 {
            return Some(marker);
        }
    }
}

/// Where entropy-coded data ends: at the first marker that is neither a stuffed zero nor a restart.
fn end_of_scan(data: &[u8]) -> Option<usize> {
    memchr::memchr_iter(0xff, data)
        .find(|at| data.get(at + 1).is_some_and(|next| !matches!(next, 0 | 0xd0..=0xd7 | 0xff)))
}

/// The decoder's complaint is logged and not shown, as it names offsets and itself.
fn broken(fault: &DecodeErrors) -> Failure {
    tracing::debug!(%fault, "an uploaded JPEG can't be decoded");
    rejected(if matches!(fault, DecodeErrors::Unsupported(_)) { UNSUPPORTED } else { DAMAGED })
}
