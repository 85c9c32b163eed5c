//! What comes out is sRGB, whatever the file's colours are.

use moxcms::{ColorProfile, curve_from_gamma};

use super::fixtures::{
    adobe, file_with, flat_jpeg, icc, png, png_chunk, press, profile_segments, sampled_jpeg, stored,
    with_segments,
};
use super::*;

/// The colour in the middle of the widest variant.
fn shown(bytes: &[u8]) -> [u8; 3] {
    let processed = show(bytes).unwrap();
    let variant = &processed.variants[0];
    assert!(chunks(&variant.bytes).iter().all(|name| !["ICCP", "EXIF", "XMP "].contains(&&**name)));
    let image = image::load_from_memory(&variant.bytes).unwrap().into_rgb8();
    image.get_pixel(variant.width / 2, variant.height / 2).0
}

fn assert_near(seen: [u8; 3], expected: [u8; 3], what: &str) {
    // WebP halves the resolution of colours and rounds twice.
    let is_near = seen.iter().zip(expected).all(|(seen, expected)| seen.abs_diff(expected) <= 5);
    assert!(is_near, "{what}: {seen:?} instead of {expected:?}");
}

fn flat(color: [u8; 3]) -> DynamicImage {
    RgbImage::from_pixel(400, 40, Rgb(color)).into()
}

const FORMATS: [ImageFormat; 3] = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP];

/// Photos of phones and cameras; pixelfed 4459, immich 3136, photoprism 1798, bluesky social-app 11692.
/// The expected numbers are those of the colour spaces' definitions.
#[test]
fn wide_colours_become_srgb() {
    let (p3, adobe_rgb) = (icc(&ColorProfile::new_display_p3()), icc(&ColorProfile::new_adobe_rgb()));
    for format in FORMATS {
        for (profile, color, expected) in [
            (&p3, [200, 100, 50], [215, 93, 31]),
            (&p3, [120, 160, 90], [108, 161, 80]),
            (&p3, [128, 128, 128], [128, 128, 128]),
            (&adobe_rgb, [120, 160, 90], [99, 161, 85]),
            (&adobe_rgb, [200, 100, 50], [227, 100, 42]),
        ] {
            let file = file_with(&flat(color), format, profile, &[]);
            assert_near(shown(&file), expected, &format!("{format:?} {color:?}"));
        }
    }
}

#[test]
fn transparency_is_no_colour() {
    let image: DynamicImage = RgbaImage::from_pixel(400, 40, Rgba([200, 100, 50, 120])).into();
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let processed = show(&file_with(&image, format, &icc(&ColorProfile::new_display_p3()), &[])).unwrap();
        for variant in processed.variants {
            let pixel = image::load_from_memory(&variant.bytes).unwrap().into_rgba8().get_pixel(9, 9).0;
            assert_eq!(pixel[3], 120);
            assert_near([pixel[0], pixel[1], pixel[2]], [215, 93, 31], "beside transparency");
        }
    }
}

#[test]
fn colours_that_are_srgb_are_left_alone() {
    let srgb = icc(&ColorProfile::new_srgb());
    let plain = show(&file(&photo(700, 500), ImageFormat::Png)).unwrap();
    let tagged = show(&file_with(&photo(700, 500), ImageFormat::Png, &srgb, &[])).unwrap();
    assert_eq!(plain.variants[0].bytes, tagged.variants[0].bytes);
}

#[test]
fn deep_colours_are_converted_while_they_are_exact() {
    // Of a linear light of 1 in 400 nothing is left in 8 bits.
    let mut linear = ColorProfile::new_srgb();
    let curve = curve_from_gamma(1.0);
    (linear.red_trc, linear.green_trc) = (Some(curve.clone()), Some(curve.clone()));
    linear.blue_trc = Some(curve);
    linear.cicp = None;
    let linear = icc(&linear);
    let rgb = DynamicImage::from(ImageBuffer::from_pixel(400, 40, Rgb([164_u16, 14_000, 65_535])));
    assert_near(shown(&file_with(&rgb, ImageFormat::Png, &linear, &[])), [8, 127, 255], "RGB");
    let rgba = DynamicImage::from(ImageBuffer::from_pixel(400, 40, Rgba([164_u16, 14_000, 65_535, 65_535])));
    assert_near(shown(&file_with(&rgba, ImageFormat::Png, &linear, &[])), [8, 127, 255], "RGBA");
}

#[test]
fn grey_is_converted_by_its_own_profile() {
    let gamma = icc(&ColorProfile::new_gray_with_gamma(1.0));
    // A quarter of the light.
    let (shallow, deep) = (64_u8, 16_448_u16);
    let expected = [137; 3];
    let images: [DynamicImage; 4] = [
        GrayImage::from_pixel(400, 40, Luma([shallow])).into(),
        ImageBuffer::from_pixel(400, 40, Luma([deep])).into(),
        ImageBuffer::from_pixel(400, 40, image::LumaA([shallow, 255])).into(),
        ImageBuffer::from_pixel(400, 40, image::LumaA([deep, 65_535])).into(),
    ];
    for image in &images {
        let png = file_with(image, ImageFormat::Png, &gamma, &[]);
        assert_near(shown(&png), expected, &format!("{:?}", image.color()));
    }
    assert_near(shown(&file_with(&images[0], ImageFormat::Jpeg, &gamma, &[])), expected, "JPEG");
}

/// A profile of another kind than the pixels; sharp 237, libvips 831 and 1843.
#[test]
fn a_profile_that_does_not_fit_is_ignored() {
    let (rgb, grey) = (icc(&ColorProfile::new_adobe_rgb()), icc(&ColorProfile::new_gray_with_gamma(1.0)));
    let color = [120, 160, 90];
    for profile in [&grey, &press([100, 60, 160])] {
        for format in FORMATS {
            assert_near(shown(&file_with(&flat(color), format, profile, &[])), color, "RGB");
        }
    }
    let dark: DynamicImage = GrayImage::from_pixel(400, 40, Luma([77])).into();
    assert_near(shown(&file_with(&dark, ImageFormat::Png, &rgb, &[])), [77; 3], "grey");
    let inks = with_segments(&flat_jpeg(0xc0, &[255, 0, 0, 255]), &profile_segments(&rgb, 60_000));
    assert_near(shown(&inks), [255, 0, 0], "CMYK");
}

/// As libvips 1635 has them, and worse.
#[test]
fn a_broken_profile_is_ignored() {
    let color = [120, 160, 90];
    let whole = icc(&ColorProfile::new_display_p3());
    let mut broken: Vec<Vec<u8>> = (1..whole.len()).step_by(7).map(|end| whole[..end].to_vec()).collect();
    broken.push(b"no profile".to_vec());
    broken.push(vec![0xff; 5_000]);
    broken.push(vec![0; 6 * 1024 * 1024]);
    for profile in &broken {
        let file = file_with(&flat(color), ImageFormat::WebP, profile, &[]);
        // What is cut in its last words may still say what its colours are.
        let seen = shown(&file);
        assert!(
            seen == shown(&file_with(&flat(color), ImageFormat::WebP, &whole, &[])) || {
                assert_near(seen, color, &format!("a profile of {} bytes", profile.len()));
                true
            }
        );
    }
    // In a PNG it is compressed, so that the compression can be broken, too.
    let row = [&[0][..], &[120, 160, 90].repeat(8)].concat().repeat(8);
    let iccp = |data: &[u8]| png_chunk(*b"iCCP", &[b"x\0\0", data].concat());
    for chunk in [iccp(b"not deflated"), iccp(&stored(&whole)[..40]), iccp(b""), png_chunk(*b"iCCP", b"")] {
        assert_near(shown(&png(8, 8, [8, 2], &[chunk], &row)), color, "a PNG");
    }
}

/// Nothing that a profile says can bring the process down.
#[test]
fn a_forged_profile_does_no_harm() {
    let profiles = [
        icc(&ColorProfile::new_display_p3()),
        icc(&ColorProfile::new_gray_with_gamma(2.0)),
        press([100, 60, 160]),
    ];
    let models = [colour::Model::Rgb, colour::Model::Grey, colour::Model::Cmyk];
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).unwrap()
    };
    for _ in 0..1_500 {
        let kind = next(3);
        let mut profile = profiles[kind].clone();
        for _ in 0..=next(4) {
            // Mostly in the head and the table of tags.
            let end = if next(3) == 0 { profile.len() } else { profile.len().min(400) };
            let at = next(end);
            profile[at] = [0, 1, 0x7f, 0x80, 0xff, u8::try_from(next(256)).unwrap()][next(6)];
        }
        let read = super::super::colour::read(&profile, models[kind]);
        super::super::colour::Conversion::of(models[kind], read.as_ref(), false);
    }
}

/// Numbers that a PNG gives for its colours without a profile.
#[test]
fn colours_by_code_points_are_converted() {
    let row = [&[0][..], &[200, 100, 50].repeat(8)].concat().repeat(8);
    let with = |code: [u8; 4]| png(8, 8, [8, 2], &[png_chunk(*b"cICP", &code)], &row);
    assert_near(shown(&with([12, 13, 0, 1])), [215, 93, 31], "Display P3");
    for code in [[1, 13, 0, 1], [2, 2, 0, 1], [12, 13, 1, 1], [9, 16, 0, 1], [255, 255, 0, 1]] {
        assert_near(shown(&with(code)), [200, 100, 50], &format!("{code:?}"));
    }
}

/// A gamma of 1, and other primaries; libvips 1238.
#[test]
fn colours_by_stated_numbers_are_converted() {
    let chunk = |name: &[u8; 4], numbers: &[u32]| {
        png_chunk(*name, &numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>())
    };
    let row = |pixel: &[u8]| [&[0][..], &pixel.repeat(8)].concat().repeat(8);
    let linear = chunk(b"gAMA", &[100_000]);
    let usual = chunk(b"gAMA", &[45_455]);
    let srgb = chunk(b"cHRM", &[31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000]);
    let p3 = chunk(b"cHRM", &[31_270, 32_900, 68_000, 32_000, 26_500, 69_000, 15_000, 6_000]);
    let of = |chunks: &[&Vec<u8>], kind, pixel: &[u8]| {
        let chunks: Vec<Vec<u8>> = chunks.iter().map(|chunk| (*chunk).clone()).collect();
        shown(&png(8, 8, kind, &chunks, &row(pixel)))
    };
    assert_near(of(&[&linear], [8, 2], &[64; 3]), [137; 3], "linear RGB");
    assert_near(of(&[&linear], [8, 0], &[64]), [137; 3], "linear grey");
    assert_near(of(&[&linear], [16, 0], &[64, 64]), [137; 3], "deep linear grey");
    assert_near(of(&[&usual, &p3], [8, 2], &[200, 100, 50]), [215, 93, 31], "Display P3");
    let flat = [200, 100, 50];
    let none = chunk(b"cHRM", &[0; 8]);
    let alike = chunk(b"cHRM", &[31_270; 8]);
    let says_srgb = png_chunk(*b"sRGB", &[0]);
    for chunks in [
        &[&usual][..],
        &[&usual, &srgb],
        &[&p3],
        &[&usual, &none],
        &[&usual, &alike],
        &[&usual, &chunk(b"cHRM", &[u32::MAX; 8])],
        &[&usual, &chunk(b"cHRM", &[31_270; 3])],
        &[&chunk(b"gAMA", &[0])],
        &[&chunk(b"gAMA", &[u32::MAX])],
        &[&says_srgb, &linear, &p3],
    ] {
        assert_near(of(chunks, [8, 2], &flat), flat, &format!("{chunks:?}"));
    }
}

/// Inks with and without Adobe's marker, as browsers read them; sharp 1649, ladybird 6486.
#[test]
fn inks_become_colours() {
    for frame in [0xc0, 0xc1, 0xc2] {
        for (stored, expected) in [
            ([255, 255, 255, 255], [255, 255, 255]),
            ([0, 255, 255, 255], [0, 255, 255]),
            ([255, 0, 255, 255], [255, 0, 255]),
            ([255, 255, 0, 255], [255, 255, 0]),
            ([255, 255, 255, 0], [0, 0, 0]),
            ([200, 100, 50, 128], [100, 50, 25]),
        ] {
            let plain = flat_jpeg(frame, &stored);
            assert_near(corner(&plain), expected, "CMYK");
            assert_near(corner(&with_segments(&plain, &[adobe(0)])), expected, "Adobe's CMYK");
            let sampled = sampled_jpeg(frame, &stored, &[0x22, 0x11, 0x11, 0x22]);
            assert_near(corner(&sampled), expected, "subsampled CMYK");
        }
    }
}

/// The colour of the first block.
fn corner(bytes: &[u8]) -> [u8; 3] {
    let processed = show(bytes).unwrap();
    image::load_from_memory(&processed.variants[0].bytes).unwrap().into_rgb8().get_pixel(3, 3).0
}

/// Inverted by some versions of the decoder; zune-image 442.
#[test]
fn inks_as_luminance_and_chrominance_become_colours() {
    for (stored, expected) in [
        ([0, 128, 128, 255], [255, 255, 255]),
        ([255, 128, 128, 255], [0, 0, 0]),
        ([0, 128, 128, 128], [128, 128, 128]),
        // The luminance and chrominance of pure red ink: what is left of white is cyan.
        ([76, 85, 255, 255], [1, 255, 255]),
        ([179, 171, 0, 255], [255, 1, 0]),
    ] {
        for frame in [0xc0, 0xc2] {
            let file = with_segments(&flat_jpeg(frame, &stored), &[adobe(2)]);
            assert_near(corner(&file), expected, &format!("{stored:?}"));
            for sampling in [[0x22, 0x11, 0x11, 0x22], [0x21, 0x11, 0x11, 0x21]] {
                let file = with_segments(&sampled_jpeg(frame, &stored, &sampling), &[adobe(2)]);
                assert_near(corner(&file), expected, &format!("{stored:?} in {sampling:x?}"));
            }
        }
    }
}

#[test]
fn inks_are_mixed_by_their_profile() {
    // A press whose cyan is a dark green of Lab 40, -30, 30.
    let profile = press([102, 98, 158]);
    for (transform, stored) in [(None, [0, 255, 255, 255]), (Some(0), [0, 255, 255, 255])] {
        let mut segments = profile_segments(&profile, 1_000);
        segments.extend(transform.map(adobe));
        let file = with_segments(&flat_jpeg(0xc0, &stored), &segments);
        assert_near(corner(&file), [50, 106, 41], "all of it");
    }
    let white = with_segments(&flat_jpeg(0xc0, &[255; 4]), &profile_segments(&profile, 1_000));
    assert_near(corner(&white), [255; 3], "paper");
}

/// In pieces, in any order; and not when one is missing.
#[test]
fn a_profile_in_pieces_is_put_together() {
    let color = [120, 160, 90];
    let jpeg = file(&flat(color), ImageFormat::Jpeg);
    let mut pieces = profile_segments(&icc(&ColorProfile::new_adobe_rgb()), 50);
    assert!(pieces.len() > 3);
    assert_near(shown(&with_segments(&jpeg, &pieces)), [99, 161, 85], "in order");
    pieces.reverse();
    assert_near(shown(&with_segments(&jpeg, &pieces)), [99, 161, 85], "backwards");
    pieces.push(pieces[0].clone());
    assert_near(shown(&with_segments(&jpeg, &pieces)), [99, 161, 85], "one of them twice");
    let missing = pieces.remove(1);
    pieces.retain(|piece| *piece != missing);
    assert_near(shown(&with_segments(&jpeg, &pieces)), color, "one missing");
}
