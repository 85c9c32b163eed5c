//! Every input is made here, byte by byte where an encoder would refuse to.

use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};

use super::*;

mod colour;
mod fixtures;
mod jpeg;
mod png;
mod upright;
mod webp;

use fixtures::{black_png, chunks, png_chunk, png_head, with_exif};

const LIMITS: Limits = Limits { bytes: 12 * 1024 * 1024, pixels: 40_000_000 };

fn photo(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| {
        let at = |value: u32, of: u32| u8::try_from(value * 255 / of).unwrap();
        Rgb([at(x, width), at(y, height), at((x * 31 + y * 17) % 255, 255)])
    })
    .into()
}

fn file(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// The narrower ones of four, and the image's own where it is not the widest.
fn widths_of(original: u32) -> Vec<u32> {
    let widest = original.min(1600);
    [320, 640, 1080, 1600].into_iter().filter(|width| *width < widest).chain([widest]).collect()
}

fn show(bytes: &[u8]) -> Result<Processed> {
    process(bytes, &LIMITS, widths_of)
}

fn why(bytes: &[u8]) -> String {
    match show(bytes) {
        Err(Failure::Rejected(why)) => why.into_owned(),
        Err(other) => panic!("expected a refusal, got {other:?}"),
        Ok(_) => panic!("expected a refusal of {} bytes", bytes.len()),
    }
}

fn sizes(processed: &Processed) -> Vec<(u32, u32)> {
    processed.variants.iter().map(|it| (it.width, it.height)).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

#[test]
fn a_photo_gets_its_widths_and_a_blurhash() {
    let image = photo(1800, 1350);
    let processed = show(&file(&image, ImageFormat::Jpeg)).unwrap();
    assert_eq!((processed.width, processed.height), (1800, 1350));
    assert_eq!(sizes(&processed), [(1600, 1200), (1080, 810), (640, 480), (320, 240)]);
    assert_eq!(processed.blurhash.len(), 28);
    for variant in &processed.variants {
        let shown = image::load_from_memory_with_format(&variant.bytes, ImageFormat::WebP).unwrap();
        assert_eq!((shown.width(), shown.height()), (variant.width, variant.height));
        assert_eq!(chunks(&variant.bytes), ["VP8 "]);
    }
}

#[test]
fn nothing_is_made_wider_than_it_was() {
    for (width, height, expected) in
        [(700, 70, vec![(700, 70), (640, 64), (320, 32)]), (40, 400, vec![(40, 400)]), (1, 1, vec![(1, 1)])]
    {
        let bytes = file(&photo(width, height), ImageFormat::Png);
        assert_eq!(sizes(&show(&bytes).unwrap()), expected);
    }
}

#[test]
fn metadata_is_gone_and_the_image_upright() {
    let sensor =
        RgbImage::from_fn(800, 400, |x, _| if x < 400 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) });
    let bytes = with_exif(&file(&sensor.into(), ImageFormat::Jpeg), 6);
    assert!(holds(&bytes, "GPS at my home"));
    let processed = show(&bytes).unwrap();
    assert_eq!((processed.width, processed.height), (400, 800));
    assert_eq!(sizes(&processed), [(400, 800), (320, 640)]);
    for variant in &processed.variants {
        assert!(!holds(&variant.bytes, "Exif") && !holds(&variant.bytes, "GPS"));
        assert_eq!(chunks(&variant.bytes), ["VP8 "]);
        let shown = image::load_from_memory(&variant.bytes).unwrap().into_rgb8();
        let (top, bottom) = (shown.get_pixel(160, 20), shown.get_pixel(160, variant.height - 20));
        assert!(top[0] > 200 && top[2] < 60, "the left of the sensor is the top: {top:?}");
        assert!(bottom[2] > 200 && bottom[0] < 60, "{bottom:?}");
    }
}

#[test]
fn every_orientation_swaps_sides_or_does_not() {
    let jpeg = file(&photo(600, 200), ImageFormat::Jpeg);
    for orientation in 0..=9 {
        let processed = show(&with_exif(&jpeg, orientation)).unwrap();
        let expected = if (5..=8).contains(&orientation) { (200, 600) } else { (600, 200) };
        assert_eq!((processed.width, processed.height), expected, "orientation {orientation}");
        assert_eq!(sizes(&processed)[0], expected);
    }
}

#[test]
fn transparency_is_kept() {
    let image: DynamicImage =
        RgbaImage::from_fn(800, 600, |x, _| Rgba([200, 100, 50, if x < 400 { 0 } else { 255 }])).into();
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let processed = show(&file(&image, format)).unwrap();
        for variant in &processed.variants {
            let shown = image::load_from_memory(&variant.bytes).unwrap().into_rgba8();
            assert_eq!(shown.get_pixel(10, 10)[3], 0);
            let solid = shown.get_pixel(variant.width - 10, 10);
            assert!(solid[3] == 255 && solid[0].abs_diff(200) < 8 && solid[2].abs_diff(50) < 8, "{solid:?}");
        }
    }
}

#[test]
fn grey_and_deep_images_are_taken() {
    let grey = DynamicImage::from(GrayImage::from_pixel(50, 50, Luma([77])));
    let deep = DynamicImage::from(ImageBuffer::from_pixel(50, 50, Rgb([0x4d00_u16, 0x8012, 0xffff])));
    let deep_alpha = DynamicImage::from(ImageBuffer::from_pixel(50, 50, Rgba([0x4d00_u16, 0, 0, 0xffff])));
    for image in [&grey, &deep, &deep_alpha] {
        let processed = show(&file(image, ImageFormat::Png)).unwrap();
        let shown = image::load_from_memory(&processed.variants[0].bytes).unwrap().into_rgb8();
        assert!(shown.get_pixel(25, 25)[0].abs_diff(77) < 6, "{:?}", shown.get_pixel(25, 25));
    }
}

#[test]
fn a_bomb_is_refused_by_its_header() {
    assert!(show(&black_png(800, 600)).is_ok(), "the maker of bombs is sound");
    assert_eq!(why(&black_png(20_000, 20_000)), "it has too many pixels");
    // Without a byte of image data, so that only the header can be what it is refused for.
    let mut head = png_head(20_000, 20_000);
    head.extend(png_chunk(*b"IDAT", &[]));
    assert_eq!(why(&head), "it has too many pixels");
    for (width, height) in [(20_001, 20_001), (65_000, 2_000), (u32::MAX >> 1, 3)] {
        let mut head = png_head(width, height);
        head.extend(png_chunk(*b"IDAT", &[]));
        why(&head);
    }
    let mut wide = file(&photo(64, 64), ImageFormat::Jpeg);
    let frame = wide.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    wide[frame + 5..frame + 9].copy_from_slice(&[0xff; 4]);
    assert_eq!(why(&wide), "it has too many pixels");
}

#[test]
fn what_is_long_and_thin_is_refused() {
    assert_eq!(why(&file(&photo(1, 11), ImageFormat::Png)), "it is too long and thin");
    assert!(show(&black_png(100, 1000)).is_ok());
}

#[test]
fn a_file_over_the_limit_is_refused() {
    let bytes = file(&photo(64, 64), ImageFormat::Png);
    let limits = Limits { bytes: bytes.len() as u64 - 1, ..LIMITS };
    assert!(matches!(process(&bytes, &limits, widths_of), Err(Failure::Rejected(_))));
}

#[test]
fn a_cut_file_is_refused_wherever_it_is_cut() {
    let jpeg = with_exif(&file(&photo(120, 90), ImageFormat::Jpeg), 1);
    for end in (0..jpeg.len()).step_by(97).chain([jpeg.len() - 2, jpeg.len() - 1]) {
        why(&jpeg[..end]);
    }
    let png = file(&photo(120, 90), ImageFormat::Png);
    // Twelve bytes of end mark and four of checksum stand behind the last pixel.
    for end in (0..png.len() - 16).step_by(97) {
        why(&png[..end]);
    }
    let lossless = file(&photo(120, 90), ImageFormat::WebP);
    let lossy = ::webp::Encoder::from_rgb(photo(120, 90).as_bytes(), 120, 90).encode(80.0).to_vec();
    for webp in [lossless, lossy] {
        assert!(show(&webp).is_ok());
        for end in (0..webp.len()).step_by(97).chain([webp.len() - 2]) {
            why(&webp[..end]);
        }
    }
}

#[test]
fn a_thumbnail_does_not_end_the_image() {
    let thumbnail = file(&photo(16, 16), ImageFormat::Jpeg);
    let whole = file(&photo(120, 90), ImageFormat::Jpeg);
    let mut bytes = whole[..2].to_vec();
    bytes.extend([0xff, 0xe2]);
    bytes.extend(u16::try_from(thumbnail.len() + 2).unwrap().to_be_bytes());
    bytes.extend(&thumbnail);
    bytes.extend(&whole[2..]);
    assert!(show(&bytes).is_ok());
    assert_eq!(why(&bytes[..bytes.len() - 200]), "it is not a whole JPEG");
}

#[test]
fn what_follows_the_image_does_not_come_out() {
    let mut bytes = file(&photo(120, 90), ImageFormat::Jpeg);
    bytes.extend(b"<script>alert(1)</script>PK\x03\x04");
    for variant in show(&bytes).unwrap().variants {
        assert!(!holds(&variant.bytes, "script") && chunks(&variant.bytes) == ["VP8 "]);
    }
}

#[test]
fn what_is_no_image_is_refused() {
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>"#;
    let gif = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    let html = b"<!doctype html><script>alert(1)</script>";
    for other in [svg.as_slice(), gif, html, b"just text", b"", b"RIFF\x04\0\0\0WAVE", &[0xff; 4096]] {
        assert_eq!(why(other), "it is neither JPEG nor PNG nor WebP");
    }
    let heads = [b"\xff\xd8\xff".as_slice(), b"\x89PNG\r\n\x1a\n", b"RIFF\x10\0\0\0WEBP"];
    for head in heads {
        why(head);
        why(&[head, html].concat());
    }
}

#[test]
fn animations_are_refused() {
    let png = file(&photo(8, 8), ImageFormat::Png);
    let mut apng = png[..33].to_vec();
    apng.extend(png_chunk(*b"acTL", &[0, 0, 0, 2, 0, 0, 0, 0]));
    apng.extend(&png[33..]);
    assert_eq!(why(&apng), "animations are not taken");

    let frame = ::webp::Encoder::from_rgb(photo(16, 16).as_bytes(), 16, 16).encode(80.0).to_vec();
    let mut body = b"WEBPVP8X\x0a\0\0\0\x02\0\0\0\x0f\0\0\x0f\0\0ANIM\x06\0\0\0\0\0\0\0\0\0".to_vec();
    for _ in 0..3 {
        body.extend(b"ANMF");
        body.extend(u32::try_from(16 + frame.len() - 12).unwrap().to_le_bytes());
        body.extend([0, 0, 0, 0, 0, 0, 15, 0, 0, 15, 0, 0, 100, 0, 0, 0]);
        body.extend(&frame[12..]);
    }
    let mut animated = b"RIFF".to_vec();
    animated.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
    animated.extend(body);
    assert_eq!(why(&animated), "animations are not taken");
}
