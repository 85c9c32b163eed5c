//! JPEGs as cameras, webcams and broken programs write them.

use super::fixtures::{adobe, flat_jpeg, sampled_jpeg, segment, with_segments, with_stray};
use super::*;

fn pixels(bytes: &[u8]) -> Vec<u8> {
    show(bytes).unwrap().variants.swap_remove(0).bytes
}

/// Cameras leave bytes that belong to nothing; zune-image 241, 246, 251 and 261.
#[test]
fn stray_bytes_between_segments_are_passed_over() {
    let jpeg = file(&photo(120, 90), ImageFormat::Jpeg);
    let expected = pixels(&jpeg);
    for stray in [
        b"\0".as_slice(),
        &[0; 700],
        b"\x35",
        b"stray",
        b"\xff",
        b"\xff\xff\xff",
        b"\xff\0",
        b"\xff\0\xda\x01",
        b"\0\xff\0\x57\xff",
        b"\xff\x01",
        b"\xff\xd3\0",
    ] {
        assert_eq!(pixels(&with_stray(&jpeg, stray)), expected, "{stray:?}");
    }
}

/// Segments that say nothing which is needed, however broken they are; zune-image 252.
#[test]
fn broken_metadata_is_no_fault_of_the_image() {
    let jpeg = file(&photo(120, 90), ImageFormat::Jpeg);
    let expected = pixels(&jpeg);
    for broken in [
        segment(0xe0, b""),
        segment(0xe0, b"JFXX\0\x10"),
        segment(0xe1, b"Exif\0\0"),
        segment(0xe1, b"Exif"),
        segment(0xe1, b"http://ns.adobe.com/xmp/extension/\0short"),
        segment(0xe2, b"ICC_PROFILE\0"),
        segment(0xe2, b"ICC_PROFILE\0\0\0"),
        segment(0xe2, b"MPF\0MM\0*\xff\xff\xff\xff"),
        segment(0xed, b"Photoshop 3.0\08BIM\xff\xff\xff\xff"),
        segment(0xee, b"Adobe"),
        segment(0xee, b"Adobe\0\x64\0\0\0\0\x07"),
        segment(0xee, b""),
        segment(0xef, &[0xff; 400]),
        segment(0xfe, b"\xff\xd9\xff\xd8"),
        segment(0xf3, b"unknown"),
        segment(0x57, b"unknown"),
        segment(0xdc, &[0, 90]),
    ] {
        assert_eq!(pixels(&with_segments(&jpeg, std::slice::from_ref(&broken))), expected, "{broken:?}");
    }
}

/// What stands behind the end is another image or nothing at all; zune-image 167.
#[test]
fn what_stands_behind_the_end_is_no_matter() {
    let jpeg = file(&photo(120, 90), ImageFormat::Jpeg);
    let expected = pixels(&jpeg);
    let other = file(&photo(64, 64), ImageFormat::Jpeg);
    for behind in [&other[..], &other[..100], &[0xff], &[0; 5_000], b"\xff\xd9\xff\xd9", b"SEFT\0\x01"] {
        assert_eq!(pixels(&[&jpeg, behind].concat()), expected);
    }
}

/// Webcams leave out the tables that everybody knows; zune-image 136.
#[test]
fn a_frame_without_huffman_tables_is_read_by_the_usual_ones() {
    let jpeg = file(&photo(120, 90), ImageFormat::Jpeg);
    let mut without = jpeg[..2].to_vec();
    let mut rest = &jpeg[2..];
    while rest[1] != 0xda {
        let length = 2 + usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if rest[1] != 0xc4 {
            without.extend(&rest[..length]);
        }
        rest = &rest[length..];
    }
    without.extend(rest);
    assert!(without.len() + 400 < jpeg.len());
    assert_eq!(pixels(&without), pixels(&jpeg));
}

#[test]
fn progressive_and_extended_images_are_taken() {
    for frame in [0xc0, 0xc1, 0xc2] {
        for components in [&[90][..], &[120, 128, 128]] {
            let processed = show(&flat_jpeg(frame, components)).unwrap();
            let shown = image::load_from_memory(&processed.variants[0].bytes).unwrap().into_rgb8();
            assert!(shown.get_pixel(3, 3)[0].abs_diff(components[0]) < 4, "{frame:x} {components:?}");
        }
    }
}

/// Of each way in which cameras leave out colours; zune-image 273.
#[test]
fn every_subsampling_is_taken() {
    for factors in [0x11, 0x21, 0x12, 0x22, 0x41, 0x14, 0x42, 0x24, 0x44] {
        for frame in [0xc0, 0xc2] {
            let jpeg = sampled_jpeg(frame, &[120, 128, 128], &[factors, 0x11, 0x11]);
            let shown = image::load_from_memory(&pixels(&jpeg)).unwrap().into_rgb8();
            assert_eq!(shown.dimensions(), (16, 16));
            for (x, y) in [(0, 0), (15, 0), (0, 15), (15, 15)] {
                let pixel = shown.get_pixel(x, y);
                assert!(pixel.0.iter().all(|value| value.abs_diff(120) < 4), "{factors:x}: {pixel:?}");
            }
        }
    }
    // A single component's factors mean nothing.
    for factors in [0x22, 0x21, 0x41] {
        let jpeg = sampled_jpeg(0xc0, &[90], &[factors]);
        let shown = image::load_from_memory(&pixels(&jpeg)).unwrap().into_rgb8();
        assert!(shown.get_pixel(3, 3)[0].abs_diff(90) < 4, "{factors:x}");
    }
}

/// Phones of Samsung state what only progressive scans have; jpeg-decoder 96.
#[test]
fn what_a_baseline_scan_states_of_its_spectrum_is_no_matter() {
    let jpeg = file(&photo(120, 90), ImageFormat::Jpeg);
    let scan = jpeg.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    let states = scan + 2 + usize::from(jpeg[scan + 3]) - 3;
    assert_eq!(jpeg[states..states + 3], [0, 63, 0]);
    for states_instead in [[0, 0, 0], [63, 0, 0], [1, 5, 0], [0, 63, 0x10]] {
        let mut odd = jpeg.clone();
        odd[states..states + 3].copy_from_slice(&states_instead);
        assert_eq!(pixels(&odd), pixels(&jpeg), "{states_instead:?}");
    }
}

/// RGB is what Adobe's marker says it is, and not where JFIF says otherwise.
#[test]
fn colours_that_are_not_luminance_are_known_by_adobes_marker() {
    let corner =
        |bytes: &[u8]| image::load_from_memory(&pixels(bytes)).unwrap().into_rgb8().get_pixel(3, 3).0;
    let jpeg = flat_jpeg(0xc0, &[200, 128, 128]);
    let rgb = corner(&with_segments(&jpeg, &[adobe(0)]));
    assert!(rgb[0].abs_diff(200) < 8 && rgb[1].abs_diff(128) < 8, "{rgb:?}");
    let jfif = segment(0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0");
    for segments in [vec![], vec![adobe(1)], vec![adobe(2)], vec![jfif, adobe(0)]] {
        let grey = corner(&with_segments(&jpeg, &segments));
        assert!(grey.iter().all(|value| value.abs_diff(200) < 4), "{grey:?}");
    }
}

#[test]
fn what_no_browser_shows_is_refused_clearly() {
    let of_frame = |marker: u8| {
        let mut jpeg = flat_jpeg(0xc0, &[90]);
        let at = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        jpeg[at + 1] = marker;
        jpeg
    };
    let unsupported = "it uses features that are not taken";
    // Lossless, hierarchical, and arithmetic.
    for marker in [0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf] {
        assert_eq!(why(&of_frame(marker)), unsupported, "{marker:x}");
    }
    let mut deep = flat_jpeg(0xc1, &[90]);
    let at = deep.windows(2).position(|pair| pair == [0xff, 0xc1]).unwrap();
    deep[at + 4] = 12;
    assert_eq!(why(&deep), unsupported);
    for components in [&[1, 2][..], &[1, 2, 3, 4, 5]] {
        assert_eq!(why(&flat_jpeg(0xc0, components)), "its colours are of a kind that is not taken");
    }
}

#[test]
fn an_image_without_size_is_refused() {
    for side in [5, 7] {
        let mut jpeg = flat_jpeg(0xc0, &[90]);
        let at = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        jpeg[at + side..at + side + 2].fill(0);
        assert_eq!(why(&jpeg), "it has no pixels");
    }
}

/// As libjpeg does: damage within is filled, but an image that breaks off is not taken.
#[test]
fn a_scan_that_is_too_short_is_filled_and_one_that_breaks_off_refused() {
    let jpeg = file(&photo(120, 90), ImageFormat::Jpeg);
    let cut = &jpeg[..jpeg.len() / 2];
    assert_eq!(why(cut), "it is not a whole JPEG");
    let closed = [cut, b"\0\xff\xd9"].concat();
    assert_eq!(show(&closed).unwrap().width, 120);
}

#[test]
fn parts_in_a_wrong_order_are_refused() {
    let jpeg = flat_jpeg(0xc0, &[90]);
    assert_eq!(why(&[&jpeg[..2], &jpeg].concat()), "it is damaged");
    let at = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let frame = jpeg[at..at + 13].to_vec();
    assert_eq!(why(&with_segments(&jpeg, std::slice::from_ref(&frame))), "it is damaged");
    let without = [&jpeg[..at], &jpeg[at + 13..]].concat();
    assert_eq!(why(&without), "it is damaged");
    assert_eq!(why(&jpeg[..2]), "it is not a whole JPEG");
    assert_eq!(why(b"\xff\xd8\xff\xd9"), "it is not a whole JPEG");
    assert_eq!(why(b"\xff\xd8\xff\xe0\0\x01\xff\xd9"), "it is not a whole JPEG");
}
