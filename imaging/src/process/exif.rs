//! What an EXIF block says of how the camera was held.

use image::metadata::Orientation;

/// The tag of the orientation.
const ORIENTATION: u16 = 0x0112;
/// How far behind the block's start its TIFF header may be: behind `Exif\0\0`, which belongs to JPEG but
/// is written into PNG and WebP as well, sometimes twice, or with its segment's head.
const HEADER_WITHIN: usize = 32;

/// The orientation of the main image; `None` where there is none that means anything. Nothing else in the
/// block is read, so nothing else in it can be in the way.
pub(super) fn orientation(block: &[u8]) -> Option<Orientation> {
    let start = block.windows(4).take(HEADER_WITHIN).position(|head| matches!(head, b"II*\0" | b"MM\0*"))?;
    let tiff = Tiff { big_endian: block[start] == b'M', bytes: &block[start..] };
    let directory = usize::try_from(tiff.u32(4)?).ok()?;
    let entries = usize::from(tiff.u16(directory)?);
    (0..entries)
        .map_while(|index| directory.checked_add(2 + 12 * index))
        .take_while(|entry| entry + 12 <= tiff.bytes.len())
        .filter(|entry| tiff.u16(*entry) == Some(ORIENTATION))
        .find_map(|entry| Orientation::from_exif(tiff.value(entry)?))
}

struct Tiff<'a> {
    big_endian: bool,
    bytes: &'a [u8],
}

impl Tiff<'_> {
    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// An entry's first value. It should be a SHORT, but some writers make it a BYTE or a LONG, or count
    /// wrongly.
    fn value(&self, entry: usize) -> Option<u8> {
        let size = match self.u16(entry + 2)? {
            1 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 => 4,
            _ => return None,
        };
        let count = self.u32(entry + 4)?;
        let inline = count.checked_mul(size).is_some_and(|length| length <= 4);
        let at = if inline { entry + 8 } else { usize::try_from(self.u32(entry + 8)?).ok()? };
        match size {
            1 => self.bytes.get(at).copied(),
            2 => u8::try_from(self.u16(at)?).ok(),
            _ => u8::try_from(self.u32(at)?).ok(),
        }
    }
}
