//! Decoders fill what is missing from a JPEG or WebP file with grey. This finds out whether something is.

const START: u8 = 0xd8;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;

/// True when a JPEG's markers follow one another from its start to its end marker, with at least one
/// scan between them. What comes behind the end is not looked at. Thumbnails lie inside of segments,
/// so their end markers are not taken for the image's.
pub(super) fn jpeg(bytes: &[u8]) -> bool {
    let [0xff, START, rest @ ..] = bytes else { return false };
    let mut rest = rest;
    let mut scans = 0_u32;
    loop {
        let marker = match rest {
            // Any number of fill bytes may stand before a marker.
            [0xff, 0xff, ..] => {
                rest = &rest[1..];
                continue;
            }
            [0xff, marker, ..] => *marker,
            _ => return false,
        };
        match marker {
            END => return scans > 0,
            0 | START => return false,
            _ => {}
        }
        let length = match rest {
            [_, _, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
            _ => return false,
        };
        // The length counts its own two bytes.
        match rest.get(2 + length.max(2)..) {
            Some(behind) if length >= 2 => rest = behind,
            _ => return false,
        }
        if marker == SCAN {
            scans += 1;
            match next_marker(rest) {
                Some(at) => rest = &rest[at..],
                None => return false,
            }
        }
    }
}

/// Where entropy-coded data ends: at the first marker that is neither a stuffed zero nor a restart.
fn next_marker(data: &[u8]) -> Option<usize> {
    data.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7 | 0xff))
}

/// True when a WebP file is as long as its head says.
pub(super) fn webp(bytes: &[u8]) -> bool {
    match bytes {
        [b'R', b'I', b'F', b'F', a, b, c, d, rest @ ..] => {
            usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).is_ok_and(|length| length <= rest.len())
        }
        _ => false,
    }
}
