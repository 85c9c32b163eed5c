//! The parts of PNG and WebP files that the decoders don't look at, or shouldn't.

use std::borrow::Cow;

/// True when a WebP file is as long as its head says; its decoder fills what is missing with grey.
pub(super) fn is_whole_webp(bytes: &[u8]) -> bool {
    match bytes {
        [b'R', b'I', b'F', b'F', a, b, c, d, rest @ ..] => {
            usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).is_ok_and(|length| length <= rest.len())
        }
        _ => false,
    }
}

/// The chunks of a WebP with their names, as far as they are whole.
fn webp_chunks(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = bytes.get(12..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (name, behind) = rest.split_first_chunk()?;
        let (length, behind) = behind.split_first_chunk()?;
        let (data, behind) = behind.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        // What is odd is filled up.
        rest = behind.get(data.len() % 2..).unwrap_or_default();
        Some((*name, data))
    })
}

/// A WebP's first chunk of this name.
pub(super) fn webp_chunk(bytes: &[u8], wanted: [u8; 4]) -> Option<&[u8]> {
    webp_chunks(bytes).find(|(name, _)| *name == wanted).map(|(_, data)| data)
}

/// The same WebP without what only describes it, and without the promise of it, which not all keep.
pub(super) fn webp_without_metadata(bytes: &[u8]) -> Cow<'_, [u8]> {
    const ALPHA_AND_ANIMATION: u8 = 0x12;
    if bytes.get(12..16) != Some(b"VP8X") {
        return Cow::Borrowed(bytes);
    }
    let mut kept = Vec::with_capacity(bytes.len());
    kept.extend_from_slice(b"RIFF\0\0\0\0WEBP");
    for (name, data) in webp_chunks(bytes) {
        if !matches!(&name, b"VP8X" | b"ALPH" | b"VP8 " | b"VP8L" | b"ANIM" | b"ANMF") {
            continue;
        }
        kept.extend_from_slice(&name);
        kept.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes());
        let start = kept.len();
        kept.extend_from_slice(data);
        if let (b"VP8X", Some(flags)) = (&name, kept.get_mut(start)) {
            *flags &= ALPHA_AND_ANIMATION;
        }
        kept.resize(kept.len().next_multiple_of(2), 0);
    }
    let length = u32::try_from(kept.len() - 8).unwrap_or(u32::MAX).to_le_bytes();
    kept[4..8].copy_from_slice(&length);
    Cow::Owned(kept)
}

/// A chunk of a PNG: its name, its data, and all of it with its length and checksum.
struct Chunk<'a> {
    name: [u8; 4],
    data: &'a [u8],
    whole: &'a [u8],
}

/// The chunks of a PNG, as far as they are whole.
fn png_chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk()?;
        let (name, behind) = behind.split_first_chunk()?;
        let data = behind.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        let (whole, behind) = rest.split_at_checked(12 + data.len())?;
        rest = behind;
        Some(Chunk { name: *name, data, whole })
    })
}

/// A PNG's first chunk of this name, also one that stands behind the pixels.
pub(super) fn png_chunk(bytes: &[u8], wanted: [u8; 4]) -> Option<&[u8]> {
    png_chunks(bytes).find(|chunk| chunk.name == wanted).map(|chunk| chunk.data)
}

/// The same PNG without what only describes it: the decoder refuses an image for faults in there.
pub(super) fn without_ancillary(bytes: &[u8]) -> Cow<'_, [u8]> {
    // A large first letter marks what nobody can do without.
    let is_kept = |chunk: &Chunk<'_>| {
        chunk.name[0].is_ascii_uppercase() || matches!(&chunk.name, b"tRNS" | b"iCCP" | b"acTL")
    };
    if png_chunks(bytes).all(|chunk| is_kept(&chunk)) {
        return Cow::Borrowed(bytes);
    }
    let mut kept = Vec::with_capacity(bytes.len());
    kept.extend_from_slice(&bytes[..8]);
    let mut end = 8;
    for chunk in png_chunks(bytes) {
        end += chunk.whole.len();
        if is_kept(&chunk) {
            kept.extend_from_slice(chunk.whole);
        }
    }
    // What is cut is for the decoder to judge.
    kept.extend_from_slice(&bytes[end..]);
    Cow::Owned(kept)
}
