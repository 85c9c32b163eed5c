//! Samples of 16 bits.

use image::ColorType;
use moxcms::{ColorProfile, Layout, Transform16BitExecutor, TransformOptions};

/// How many pixels are converted at once.
const CHUNK: usize = 4_096;

/// Makes samples of 8 bits from ones of 16 where they lie, so that a 16-bit image isn't held twice. With
/// a profile the colours are converted before, while they are exact. True if they were.
pub(super) fn make_shallow(raw: &mut Vec<u8>, color: ColorType, profile: Option<&ColorProfile>) -> bool {
    let layout = match color {
        ColorType::L16 => Layout::Gray,
        ColorType::La16 => Layout::GrayAlpha,
        ColorType::Rgb16 => Layout::Rgb,
        _ => Layout::Rgba,
    };
    let (to, channels) = match layout {
        Layout::Gray => (Layout::Rgb, 1),
        Layout::GrayAlpha => (Layout::Rgba, 2),
        same => (same, same.channels()),
    };
    let transform = profile.and_then(|profile| {
        let options = TransformOptions::default();
        profile.create_transform_16bit(layout, &ColorProfile::new_srgb(), to, options).ok()
    });
    let Some(transform) = transform else {
        keep_high_bytes(raw);
        return false;
    };
    convert_deep(raw, &*transform, channels, to.channels());
    true
}

/// Grey gets into three equal numbers by its conversion, of which one is kept.
fn convert_deep(raw: &mut Vec<u8>, transform: &Transform16BitExecutor, channels: usize, made: usize) {
    let (mut before, mut after) = (Vec::with_capacity(CHUNK * made), Vec::new());
    let mut written = 0;
    for start in (0..raw.len()).step_by(2 * CHUNK * channels) {
        let end = raw.len().min(start + 2 * CHUNK * channels);
        before.clear();
        before.extend(raw[start..end].as_chunks::<2>().0.iter().map(|sample| u16::from_ne_bytes(*sample)));
        after.clear();
        after.resize(before.len() / channels * made, 0);
        // It fails only for lengths that aren't of whole pixels.
        let _ = transform.transform(&before, &mut after);
        for pixel in after.chunks_exact(made) {
            for sample in &pixel[made - channels..] {
                raw[written] = sample.to_be_bytes()[0];
                written += 1;
            }
        }
    }
    raw.truncate(written);
    raw.shrink_to_fit();
}

fn keep_high_bytes(raw: &mut Vec<u8>) {
    let high = usize::from(cfg!(target_endian = "little"));
    let samples = raw.len() / 2;
    for index in 0..samples {
        raw[index] = raw[2 * index + high];
    }
    raw.truncate(samples);
    raw.shrink_to_fit();
}
