//! However the orientation is written, the image is upright.

use super::fixtures::{file_with, png, png_chunk, segment, with_segments};
use super::*;

/// An orientation block: the byte order, the entry's type, its count, and where the directory lies.
struct Block {
    big: bool,
    kind: u16,
    count: u32,
    value: u32,
    directory: u32,
}

const USUAL: Block = Block { big: false, kind: 3, count: 1, value: 6, directory: 8 };

impl Block {
    fn bytes(&self) -> Vec<u8> {
        let short = |value: u16| if self.big { value.to_be_bytes() } else { value.to_le_bytes() };
        let long = |value: u32| if self.big { value.to_be_bytes() } else { value.to_le_bytes() };
        let mut out = if self.big { b"MM\0*".to_vec() } else { b"II*\0".to_vec() };
        out.extend(long(self.directory));
        out.resize(self.directory as usize, 0xaa);
        out.extend(short(2));
        // A maker's name that lies nowhere stands before it.
        out.extend([&short(0x010f)[..], &short(2), &long(64), &long(0xffff_0000)].concat());
        out.extend([&short(0x0112)[..], &short(self.kind), &long(self.count)].concat());
        let value = u16::try_from(self.value).unwrap();
        match self.kind {
            1 | 7 => out.extend([u8::try_from(self.value).unwrap(), 0, 0, 0]),
            3 | 8 => out.extend([short(value), [0, 0]].concat()),
            _ => out.extend(long(self.value)),
        }
        out.extend(long(0));
        out
    }
}

/// Whether the image of 60 × 20 pixels stands on its side.
fn is_turned(bytes: &[u8]) -> bool {
    let shown = show(bytes).unwrap();
    match (shown.width, shown.height) {
        (20, 60) => true,
        (60, 20) => false,
        other => panic!("{other:?}"),
    }
}

/// The block in each kind of file.
fn files(block: &[u8]) -> [Vec<u8>; 3] {
    let image = photo(60, 20);
    let jpeg = file(&image, ImageFormat::Jpeg);
    let app1 = if block.starts_with(b"Exif") { block.to_vec() } else { [b"Exif\0\0", block].concat() };
    [
        with_segments(&jpeg, &[segment(0xe1, &app1)]),
        file_with(&image, ImageFormat::Png, &[], block),
        file_with(&image, ImageFormat::WebP, &[], block),
    ]
}

/// Chunks whose writers took over what belongs to JPEG; img-parts 17.
#[test]
fn what_stands_before_the_block_is_no_matter() {
    let block = USUAL.bytes();
    for head in [b"".as_slice(), b"Exif\0\0", b"Exif\0\0Exif\0\0", b"Exif\0\xff", b"\xff\xe1\0\x40Exif\0\0"] {
        for (kind, bytes) in files(&[head, &block].concat()).iter().enumerate() {
            assert!(is_turned(bytes), "{head:?} in file {kind}");
        }
    }
}

#[test]
fn odd_entries_are_understood() {
    for big in [false, true] {
        for block in [
            Block { big, ..USUAL },
            Block { big, kind: 4, ..USUAL },
            Block { big, kind: 1, ..USUAL },
            Block { big, kind: 7, ..USUAL },
            Block { big, kind: 8, ..USUAL },
            Block { big, kind: 9, ..USUAL },
            Block { big, count: 0, ..USUAL },
            Block { big, count: 2, ..USUAL },
            Block { big, directory: 27, ..USUAL },
        ] {
            let (kind, count, bytes) = (block.kind, block.count, block.bytes());
            for file in files(&bytes) {
                assert!(is_turned(&file), "big {big}, type {kind}, count {count}");
            }
            // Cut behind the entry: the directory says more than is there.
            let cut = bytes[..bytes.len() - 4].to_vec();
            assert!(files(&cut).iter().all(|file| is_turned(file)));
        }
    }
}

#[test]
fn what_means_nothing_turns_nothing() {
    let usual = USUAL.bytes();
    for block in [
        Block { value: 0, ..USUAL }.bytes(),
        Block { value: 9, ..USUAL }.bytes(),
        Block { value: 262, kind: 4, ..USUAL }.bytes(),
        Block { kind: 12, ..USUAL }.bytes(),
        Block { count: u32::MAX, ..USUAL }.bytes(),
        [b"II*\0".as_slice(), &u32::MAX.to_le_bytes(), &usual[8..]].concat(),
        usual[..20].to_vec(),
        b"no TIFF".to_vec(),
        vec![0; 40],
    ] {
        assert!(files(&block).iter().all(|file| !is_turned(file)), "{block:?}");
    }
}

/// A second block, and one that says nothing before the one that does.
#[test]
fn the_first_block_that_says_something_counts() {
    let jpeg = file(&photo(60, 20), ImageFormat::Jpeg);
    let app1 = |value| segment(0xe1, &[b"Exif\0\0".as_slice(), &Block { value, ..USUAL }.bytes()].concat());
    let xmp = segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta tiff:Orientation=\"3\"/>");
    assert!(is_turned(&with_segments(&jpeg, &[xmp.clone(), app1(6), app1(1)])));
    assert!(is_turned(&with_segments(&jpeg, &[app1(0), xmp, app1(8)])));
    assert!(!is_turned(&with_segments(&jpeg, &[app1(1), app1(6)])));
}

/// PNG lets the block stand behind the pixels.
#[test]
fn a_block_behind_the_pixels_is_found() {
    let rows = [0; 20 * 61];
    let bytes = png(60, 20, [8, 0], &[], &rows);
    let (image, end) = bytes.split_at(bytes.len() - 12);
    assert!(!is_turned(&bytes));
    assert!(is_turned(&[image, &png_chunk(*b"eXIf", &USUAL.bytes()), end].concat()));
}
