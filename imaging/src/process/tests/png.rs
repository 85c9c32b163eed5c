//! PNGs as programs write them.

use super::fixtures::{png, stored};
use super::*;

/// The colour of the first pixel, with its transparency.
fn corner(bytes: &[u8]) -> [u8; 4] {
    let processed = show(bytes).unwrap();
    image::load_from_memory(&processed.variants[0].bytes).unwrap().into_rgba8().get_pixel(0, 0).0
}

fn assert_near(seen: [u8; 4], expected: [u8; 4], what: &str) {
    assert!(
        seen.iter().zip(expected).all(|(seen, expected)| seen.abs_diff(expected) < 5),
        "{what}: {seen:?}"
    );
}

/// Rows of eight pixels that are all the same.
fn rows(pixel: &[u8]) -> Vec<u8> {
    [&[0][..], &pixel.repeat(8)].concat().repeat(8)
}

#[test]
fn every_kind_of_pixel_is_taken() {
    let palette = png_chunk(*b"PLTE", &[10, 20, 30, 200, 100, 50]);
    let bits = |depth: usize, value: u8| [&[0][..], &vec![value; depth]].concat().repeat(8);
    for (what, kind, before, rows, expected) in [
        ("grey of 1 bit", [1, 0], vec![], bits(1, 0xff), [255, 255, 255, 255]),
        ("grey of 2 bits", [2, 0], vec![], bits(2, 0x55), [85, 85, 85, 255]),
        ("grey of 4 bits", [4, 0], vec![], bits(4, 0x33), [51, 51, 51, 255]),
        ("grey", [8, 0], vec![], rows(&[77]), [77, 77, 77, 255]),
        ("deep grey", [16, 0], vec![], rows(&[77, 200]), [77, 77, 77, 255]),
        ("grey and alpha", [8, 4], vec![], rows(&[77, 255]), [77, 77, 77, 255]),
        ("deep grey and alpha", [16, 4], vec![], rows(&[77, 9, 255, 255]), [77, 77, 77, 255]),
        ("deep RGB", [16, 2], vec![], rows(&[200, 1, 100, 2, 50, 3]), [200, 100, 50, 255]),
        ("a palette of 1 bit", [1, 3], vec![palette.clone()], bits(1, 0xff), [200, 100, 50, 255]),
        ("a palette", [8, 3], vec![palette.clone()], rows(&[1]), [200, 100, 50, 255]),
    ] {
        assert_near(corner(&png(8, 8, kind, &before, &rows)), expected, what);
    }
    for (what, kind, before, rows) in [
        ("a clear entry", [8, 3], vec![palette, png_chunk(*b"tRNS", &[255, 0])], rows(&[1])),
        ("a clear grey", [8, 0], vec![png_chunk(*b"tRNS", &[0, 77])], rows(&[77])),
        ("a clear deep grey", [16, 0], vec![png_chunk(*b"tRNS", &[77, 1])], rows(&[77, 1])),
        ("a clear colour", [8, 2], vec![png_chunk(*b"tRNS", &[0, 1, 0, 2, 0, 3])], rows(&[1, 2, 3])),
    ] {
        assert_eq!(corner(&png(8, 8, kind, &before, &rows))[3], 0, "{what}");
    }
}

/// Whatever describes the image, it is no fault of the pixels.
#[test]
fn broken_descriptions_are_no_fault_of_the_image() {
    let mut wrong_sum = png_chunk(*b"tEXt", b"a\0b");
    *wrong_sum.last_mut().unwrap() ^= 1;
    let text = [b"Raw profile type exif\0\0".as_slice(), &stored(&vec![b'0'; 60_000])].concat();
    let many = png_chunk(*b"zTXt", &text).repeat(150);
    for chunk in [
        wrong_sum,
        many,
        png_chunk(*b"cICP", &[12, 13, 1, 1]),
        png_chunk(*b"cICP", &[12, 13, 0, 7]),
        png_chunk(*b"cICP", &[]),
        png_chunk(*b"eXIf", b""),
        png_chunk(*b"eXIf", &[0xff; 40]),
        png_chunk(*b"gAMA", &[0; 4]),
        png_chunk(*b"cHRM", &[0; 32]),
        png_chunk(*b"sBIT", &[9, 9, 9]),
        png_chunk(*b"pHYs", b"x"),
        png_chunk(*b"iTXt", b"\xff\0\x01\x07"),
        png_chunk(*b"caBX", &[0; 9_000]),
        png_chunk(*b"fcTL", b""),
        png_chunk(*b"iDOT", &[0; 28]),
    ] {
        let bytes = png(8, 8, [8, 2], std::slice::from_ref(&chunk), &rows(&[200, 100, 50]));
        assert_near(corner(&bytes), [200, 100, 50, 255], &format!("{:?}", chunk.get(..8)));
    }
}

#[test]
fn an_image_without_size_is_refused() {
    for (width, height) in [(0, 8), (8, 0), (0, 0)] {
        why(&png(width, height, [8, 2], &[], &rows(&[1, 2, 3])));
    }
}
