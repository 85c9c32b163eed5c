//! From the colours of a file to sRGB, by its colour profile.
//!
//! A profile that is broken, too large or of another kind than the pixels says nothing, and the numbers
//! are read as sRGB, as browsers do.

use std::sync::Arc;

use image::{DynamicImage, RgbImage};
use moxcms::{
    Chromaticity, CicpColorPrimaries, CicpProfile, ColorPrimaries, ColorProfile, DataColorSpace, Layout,
    MatrixCoefficients, ParsingOptions, TransferCharacteristics, Transform8BitExecutor, TransformOptions,
    curve_from_gamma,
};

/// The largest profile that is read, in bytes. Those of printing presses have up to some three million.
const MAX_PROFILE: usize = 4 * 1024 * 1024;
/// A difference in 8 bits that a conversion must make to be worth it.
const VISIBLE: u8 = 1;
/// What white must be at least.
const WHITE: u8 = 200;
/// How many pixels are converted at once.
const CHUNK: usize = 4_096;

/// What a pixel's numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Model {
    Rgb,
    /// One number; in three equal ones after decoding.
    Grey,
    /// Cyan, magenta, yellow and black, in the place of RGBA. 255 is no ink: so Adobe's programs write it,
    /// and so browsers read it, with Adobe's marker or without.
    Cmyk,
    /// The same, with the first three as luminance and chrominance.
    Ycck,
}

/// How the pixels of an image become sRGB.
pub(super) enum Conversion {
    /// They are.
    None,
    Rgb(Arc<Transform8BitExecutor>),
    Grey(Box<[u8; 256]>),
    Inks {
        by_profile: Option<Arc<Transform8BitExecutor>>,
        luminance: bool,
    },
}

/// Reads a profile that fits the pixels.
pub(super) fn read(profile: &[u8], model: Model) -> Option<ColorProfile> {
    let options = ParsingOptions { max_profile_size: MAX_PROFILE, ..ParsingOptions::default() };
    let profile = ColorProfile::new_from_slice_with_options(profile, options).ok()?;
    let expected = match model {
        Model::Rgb => DataColorSpace::Rgb,
        Model::Grey => DataColorSpace::Gray,
        Model::Cmyk | Model::Ycck => DataColorSpace::Cmyk,
    };
    (profile.color_space == expected).then_some(profile)
}

/// The profile that a PNG's cICP chunk stands for. None for high dynamic range, which takes more than a
/// profile to show.
pub(super) fn coded(chunk: &[u8]) -> Option<ColorProfile> {
    let [primaries, transfer, 0, 1] = *chunk else { return None };
    let transfer = TransferCharacteristics::try_from(transfer).ok()?;
    let is_high_range = matches!(transfer, TransferCharacteristics::Smpte2084 | TransferCharacteristics::Hlg);
    let profile = ColorProfile::new_from_cicp(CicpProfile {
        color_primaries: CicpColorPrimaries::try_from(primaries).ok()?,
        transfer_characteristics: transfer,
        matrix_coefficients: MatrixCoefficients::Identity,
        full_range: true,
    });
    (!is_high_range && profile.is_matrix_shaper()).then_some(profile)
}

/// What a PNG says of its colours without a profile: the exponent of its numbers, and the chromaticities of
/// white, red, green and blue, both times 100,000. None where that is as good as sRGB.
pub(super) fn stated(gamma: &[u8], primaries: Option<&[u8]>, model: Model) -> Option<ColorProfile> {
    let number = |bytes: &[u8; 4]| u16::try_from(u32::from_be_bytes(*bytes) / 10).map(f32::from).ok();
    let gamma = number(gamma.first_chunk()?)? / 10_000.0;
    if !(0.1..=1.5).contains(&gamma) {
        return None;
    }
    let curve = curve_from_gamma(1.0 / gamma);
    let is_usual = (gamma - 1.0 / 2.2).abs() < 0.01;
    if model == Model::Grey {
        return (!is_usual).then(|| ColorProfile::new_gray_with_gamma(1.0 / gamma));
    }
    let mut profile = ColorProfile::new_srgb();
    profile.cicp = None;
    if !is_usual {
        profile.red_trc = Some(curve.clone());
        profile.green_trc = Some(curve.clone());
        profile.blue_trc = Some(curve);
    }
    if let Some(primaries) = primaries {
        let mut at = primaries.as_chunks::<4>().0.iter().map(number);
        let mut point = || Some(Chromaticity::new(at.next()?? / 10_000.0, at.next()?? / 10_000.0));
        let (white, red, green, blue) = (point()?, point()?, point()?, point()?);
        // Twice the area between them; that of sRGB is 0.22.
        let area = (green.x - red.x) * (blue.y - red.y) - (blue.x - red.x) * (green.y - red.y);
        if area.abs() < 0.02 {
            return None;
        }
        profile.update_rgb_colorimetry(white.to_xyyb(), ColorPrimaries { red, green, blue });
    }
    Some(profile)
}

impl Conversion {
    /// For pixels of 8 bits.
    pub(super) fn of(model: Model, profile: Option<&ColorProfile>, has_alpha: bool) -> Self {
        let to_srgb = |from, to| {
            let options = TransformOptions::default();
            profile?.create_transform_8bit(from, &ColorProfile::new_srgb(), to, options).ok()
        };
        match model {
            Model::Rgb => {
                let is_visible = to_srgb(Layout::Rgb, Layout::Rgb).is_some_and(|it| changes_colours(&*it));
                let layout = if has_alpha { Layout::Rgba } else { Layout::Rgb };
                let transform = is_visible.then(|| to_srgb(layout, layout)).flatten();
                transform.map_or(Self::None, Self::Rgb)
            }
            Model::Grey => to_srgb(Layout::Gray, Layout::Rgb)
                .and_then(|it| grey_levels(&*it))
                .map_or(Self::None, Self::Grey),
            Model::Cmyk | Model::Ycck => {
                Self::Inks { by_profile: to_srgb(Layout::Rgba, Layout::Rgb), luminance: model == Model::Ycck }
            }
        }
    }

    /// Whether the fourth number of its pixels is an ink, and not transparency.
    pub(super) const fn takes_inks(&self) -> bool {
        matches!(self, Self::Inks { .. })
    }

    /// Converts where the pixels lie, or into a new image where they become fewer numbers.
    pub(super) fn apply(&self, mut image: DynamicImage) -> DynamicImage {
        match (self, &mut image) {
            (Self::Rgb(transform), DynamicImage::ImageRgb8(pixels)) => in_place(&**transform, pixels, 3),
            (Self::Rgb(transform), DynamicImage::ImageRgba8(pixels)) => in_place(&**transform, pixels, 4),
            (Self::Grey(levels), DynamicImage::ImageRgb8(pixels)) => {
                pixels.iter_mut().for_each(|value| *value = levels[usize::from(*value)]);
            }
            (Self::Grey(levels), DynamicImage::ImageRgba8(pixels)) => {
                for pixel in pixels.pixels_mut() {
                    pixel.0[..3].iter_mut().for_each(|value| *value = levels[usize::from(*value)]);
                }
            }
            (Self::Inks { by_profile, luminance }, DynamicImage::ImageRgba8(pixels)) => {
                let (width, height) = pixels.dimensions();
                pixels.pixels_mut().for_each(|pixel| pixel.0 = inks(pixel.0, *luminance));
                let mut shown = RgbImage::new(width, height);
                let by_profile = by_profile
                    .as_ref()
                    .is_some_and(|transform| transform.transform(pixels, &mut shown).is_ok());
                if !by_profile {
                    for (to, from) in shown.pixels_mut().zip(pixels.pixels()) {
                        let [cyan, magenta, yellow, black] = from.0;
                        to.0 = [cyan, magenta, yellow].map(|ink| multiply(255 - ink, 255 - black));
                    }
                }
                return shown.into();
            }
            _ => {}
        }
        image
    }
}

fn in_place(transform: &Transform8BitExecutor, pixels: &mut [u8], channels: usize) {
    let mut before = Vec::new();
    for chunk in pixels.chunks_mut(CHUNK * channels) {
        before.clear();
        before.extend_from_slice(chunk);
        // It fails only for lengths that aren't of whole pixels.
        let _ = transform.transform(&before, chunk);
    }
}

/// Whether a conversion does anything that can be seen, and that makes sense. Most profiles are one of the many that say sRGB.
fn changes_colours(transform: &Transform8BitExecutor) -> bool {
    let steps = [0, 51, 102, 153, 204, 255];
    let mut before: Vec<u8> = (0..=255).flat_map(|level| [level; 3]).collect();
    for red in steps {
        for green in steps {
            before.extend(steps.into_iter().flat_map(|blue| [red, green, blue]));
        }
    }
    let mut after = vec![0; before.len()];
    // White that does not stay about white is a broken profile's.
    let white = 3 * 255..3 * 256;
    transform.transform(&before, &mut after).is_ok()
        && after[white].iter().all(|value| *value >= WHITE)
        && before.iter().zip(&after).any(|(before, after)| before.abs_diff(*after) > VISIBLE)
}

fn grey_levels(transform: &Transform8BitExecutor) -> Option<Box<[u8; 256]>> {
    let before: Vec<u8> = (0..=255).collect();
    let mut after = [0; 3 * 256];
    transform.transform(&before, &mut after).ok()?;
    let mut levels = Box::new([0; 256]);
    for (level, shown) in levels.iter_mut().zip(after.as_chunks::<3>().0) {
        *level = shown[0];
    }
    Some(levels)
}

/// The inks of a pixel, where 255 is all of an ink.
fn inks([first, second, third, black]: [u8; 4], luminance: bool) -> [u8; 4] {
    let [cyan, magenta, yellow] = if luminance {
        // What is coded is the colour of the inks, and not of what they leave of white.
        rgb_of(first, second, third)
    } else {
        [first, second, third].map(|value| 255 - value)
    };
    [cyan, magenta, yellow, 255 - black]
}

/// From luminance and chrominance, as JFIF defines them.
fn rgb_of(luminance: u8, blue: u8, red: u8) -> [u8; 3] {
    let (luminance, blue, red) = (i32::from(luminance) << 16, i32::from(blue) - 128, i32::from(red) - 128);
    [luminance + 91_881 * red, luminance - 22_554 * blue - 46_802 * red, luminance + 116_130 * blue]
        .map(|value| u8::try_from(((value + 32_768) >> 16).clamp(0, 255)).unwrap_or(u8::MAX))
}

fn multiply(one: u8, other: u8) -> u8 {
    u8::try_from((u32::from(one) * u32::from(other) + 127) / 255).unwrap_or(u8::MAX)
}
