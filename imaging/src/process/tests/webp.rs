//! `WebP` files as programs write them.

use super::*;

/// A WebP of these chunks behind one that says what there is.
fn webp(flags: u8, chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let head = (b"VP8X", vec![flags, 0, 0, 0, 63, 0, 0, 47, 0, 0]);
    let mut body = b"WEBP".to_vec();
    for (name, data) in std::iter::once(&head).chain(chunks) {
        body.extend(*name);
        body.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        body.extend(data);
        body.resize(body.len().next_multiple_of(2), 0);
    }
    let mut out = b"RIFF".to_vec();
    out.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    out.extend(body);
    out
}

/// Promises that are not kept, chunks that nobody knows, and ones that are not whole; image-webp 73 and
/// 143, imagesharp 3010.
#[test]
fn broken_metadata_is_no_fault_of_the_image() {
    let plain = ::webp::Encoder::from_rgb(photo(64, 48).as_bytes(), 64, 48).encode(90.0).to_vec();
    let expected = show(&plain).unwrap().variants[0].bytes.clone();
    let pixels = (b"VP8 ", plain[20..].to_vec());
    let of = |name, data: &[u8]| (name, data.to_vec());
    for (flags, chunks) in [
        (0x2c, vec![pixels.clone()]),
        (0x20, vec![of(b"ICCP", b""), pixels.clone()]),
        (0x08, vec![pixels.clone(), of(b"PSAI", &[1; 78]), of(b"EXIF", b"Exif\0\0")]),
        (0, vec![of(b"PSAI", &[1; 77]), pixels.clone(), of(b"XMP ", b"\xff")]),
        (0xc1, vec![pixels.clone(), of(b"EXIF", &[0xff; 33])]),
    ] {
        let bytes = webp(flags, &chunks);
        assert_eq!(show(&bytes).unwrap().variants[0].bytes, expected, "{flags:x}");
        assert_eq!(show(&[&bytes[..], b"behind"].concat()).unwrap().variants[0].bytes, expected);
    }
    let mut overlong = webp(0x08, &[pixels, of(b"EXIF", &[0; 8])]);
    let at = overlong.len() - 12;
    overlong[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(show(&overlong).unwrap().variants[0].bytes, expected);
}
