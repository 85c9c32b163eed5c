//! Image files that nobody should send, made byte by byte.

/// Anything that is named after a type.
pub struct File {
    pub name: &'static str,
    pub content_type: &'static str,
    pub bytes: Vec<u8>,
}

const fn file(name: &'static str, content_type: &'static str, bytes: Vec<u8>) -> File {
    File { name, content_type, bytes }
}

/// One of each kind that must be refused.
pub fn bad() -> Vec<File> {
    let jpeg = super::client::picture(640, 480);
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>"#;
    let html = [&jpeg[..3], b"<html><script>alert(1)</script></html>"].concat();
    vec![
        file("a text", "image/jpeg", b"this is not a picture".to_vec()),
        file("an SVG", "image/jpeg", svg.to_vec()),
        file("an SVG said to be a PNG", "image/png", svg.to_vec()),
        file("HTML with a JPEG's head", "image/jpeg", html),
        file("half a JPEG", "image/jpeg", jpeg[..jpeg.len() / 2].to_vec()),
        file("a JPEG without its last byte", "image/jpeg", jpeg[..jpeg.len() - 1].to_vec()),
        file("20,000 × 20,000 pixels", "image/png", black_png(20_000, 20_000)),
        file("100,000 × 4,000 pixels", "image/png", black_png(100_000, 4_000)),
        file("a GIF of 10,000 frames", "image/jpeg", gif(10_000)),
        file("a GIF said to be WebP", "image/webp", gif(3)),
    ]
}

/// A GIF of so many frames of one pixel.
pub fn gif(frames: usize) -> Vec<u8> {
    let mut out = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff".to_vec();
    for _ in 0..frames {
        out.extend(b"\x21\xf9\x04\0\x01\0\0\0");
        out.extend(b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0");
    }
    out.push(0x3b);
    out
}

/// A black PNG of one bit a pixel.
pub fn black_png(width: u32, height: u32) -> Vec<u8> {
    let mut header = width.to_be_bytes().to_vec();
    header.extend(height.to_be_bytes());
    header.extend([1, 0, 0, 0, 0]);
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    out.extend(png_chunk(*b"IHDR", &header));
    out.extend(png_chunk(*b"IDAT", &deflated_zeros(height * (1 + width.div_ceil(8)))));
    out.extend(png_chunk(*b"IEND", &[]));
    out
}

fn png_chunk(name: [u8; 4], data: &[u8]) -> Vec<u8> {
    let mut out = u32::try_from(data.len()).expect("short").to_be_bytes().to_vec();
    out.extend(name);
    out.extend(data);
    let mut crc = u32::MAX;
    for byte in &out[4..] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    out.extend((!crc).to_be_bytes());
    out
}

/// Zeros, deflated by hand with matches of 258: some 160 times smaller, in no time and no memory.
fn deflated_zeros(count: u32) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let (mut held, mut bits) = (0_u32, 0_u32);
    // Codes are written from their high bit, all else from its low one; these are turned already.
    let mut put = |code: u32, width: u32| {
        held |= code << bits;
        bits += width;
        while bits >= 8 {
            out.push(held.to_le_bytes()[0]);
            held >>= 8;
            bits -= 8;
        }
    };
    put(0b011, 3);
    let matches = (count - 1) / 258;
    for _ in 0..count - matches * 258 {
        put(0b0000_1100, 8);
    }
    for _ in 0..matches {
        put(0b1010_0011, 8);
        put(0, 5);
    }
    // The end of the block, and what fills its last byte.
    put(0, 7);
    put(0, 7);
    out.extend((((count % 65_521) << 16) | 1).to_be_bytes());
    out
}
