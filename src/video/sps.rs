//! What a sequence parameter set says (ITU-T H.264, 7.3.2.1.1 and E.1.1): as much as a clip needs. Pure.

use crate::video::{pace::Rate, planes::Colour};

/// Size and rate of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sps {
    /// Width and height in pixels, after cropping.
    pub(crate) size: (u32, u32),
    /// Frames per second, where it is told.
    pub(crate) rate: Option<Rate>,
}

/// Reads a parameter set, given with its NAL header; `None` where it is damaged.
pub(crate) fn parse(nal: &[u8]) -> Option<Sps> {
    let rbsp = without_emulation(nal.get(1..)?);
    let mut bits = Bits { bytes: &rbsp, at: 0 };
    let size = size(&mut bits)?;
    // What follows is only about display: a stream that is cut off here still has a size.
    let rate = if bits.take(1) == Some(1) { vui_rate(&mut bits) } else { None };
    Some(Sps { size, rate })
}

/// A parameter set that also says what colours mean; `None` where it has a word on display already, or is damaged.
/// Encoders that say nothing leave it to the viewer's guess, which is wrong for the full range of JPEG.
pub(crate) fn with_colour(nal: &[u8], colour: Colour) -> Option<Vec<u8>> {
    let rbsp = without_emulation(nal.get(1..)?);
    let mut bits = Bits { bytes: &rbsp, at: 0 };
    size(&mut bits)?;
    let known = bits.at;
    if bits.take(1)? == 1 {
        return None;
    }
    let mut out = Vec::new();
    let mut read = Bits { bytes: &rbsp, at: 0 };
    for _ in 0..known {
        out.push(read.take(1)?);
    }
    let mut put = |count: u32, value: u32| out.extend((0..count).rev().map(|bit| value >> bit & 1));
    put(1, 1);
    put(2, 0); // nothing on the shape of pixels and on overscan
    put(1, 1);
    put(3, 5); // whatever kind of video
    put(1, u32::from(colour.full_range));
    put(1, 1);
    let meaning = if colour.bt709 { 1 } else { 6 };
    (0..3).for_each(|_| put(8, meaning));
    put(6, 0); // nothing more
    put(1, 1); // the end
    let bytes =
        out.chunks(8).map(|bits| bits.iter().enumerate().fold(0, |byte, (i, bit)| byte | (*bit as u8) << (7 - i)));
    Some(with_emulation(nal[0], bytes))
}

/// Everything up to what is about display; gives the size.
fn size(bits: &mut Bits<'_>) -> Option<(u32, u32)> {
    let profile = bits.take(8)?;
    bits.take(16)?; // constraint flags, level
    bits.golomb()?; // id
    let mut chroma = 1;
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma = high_profile(bits)?;
    }
    bits.golomb()?; // log2_max_frame_num
    match bits.golomb()? {
        0 => drop(bits.golomb()?),
        1 => {
            bits.take(1)?;
            bits.golomb()?;
            bits.golomb()?;
            for _ in 0..bits.golomb()?.min(255) {
                bits.golomb()?;
            }
        }
        _ => {}
    }
    bits.golomb()?; // reference frames
    bits.take(1)?;
    let width = 16 * bits.golomb()?.checked_add(1).filter(|n| *n <= 1024)?;
    let map_units = bits.golomb()?.checked_add(1).filter(|n| *n <= 1024)?;
    let frames_only = bits.take(1)?;
    if frames_only == 0 {
        bits.take(1)?;
    }
    bits.take(1)?;
    let height = 16 * map_units * (2 - frames_only);
    let [mut left, mut right, mut top, mut bottom] = [0; 4];
    if bits.take(1)? == 1 {
        (left, right, top, bottom) = (bits.golomb()?, bits.golomb()?, bits.golomb()?, bits.golomb()?);
    }
    let unit_x = if matches!(chroma, 1 | 2) { 2 } else { 1 };
    let unit_y = (2 - frames_only) * if chroma == 1 { 2 } else { 1 };
    let crop = |a: u32, b: u32, unit: u32| a.checked_add(b)?.checked_mul(unit);
    Some((width.checked_sub(crop(left, right, unit_x)?)?, height.checked_sub(crop(top, bottom, unit_y)?)?))
}

/// Skips what only the high profiles have; gives `chroma_format_idc`.
fn high_profile(bits: &mut Bits<'_>) -> Option<u32> {
    let chroma = bits.golomb()?;
    if chroma == 3 {
        bits.take(1)?;
    }
    bits.golomb()?;
    bits.golomb()?;
    bits.take(1)?;
    if bits.take(1)? == 1 {
        for list in 0..if chroma == 3 { 12 } else { 8 } {
            if bits.take(1)? == 1 {
                scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(chroma)
}

fn scaling_list(bits: &mut Bits<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..size {
        if next != 0 {
            let code = i64::from(bits.golomb()?);
            let delta = if code % 2 == 1 { (code + 1) / 2 } else { -code / 2 };
            next = (last + delta).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

fn vui_rate(bits: &mut Bits<'_>) -> Option<Rate> {
    if bits.take(1)? == 1 && bits.take(8)? == 255 {
        bits.take(32)?; // own aspect ratio
    }
    if bits.take(1)? == 1 {
        bits.take(1)?;
    }
    if bits.take(1)? == 1 {
        bits.take(4)?;
        if bits.take(1)? == 1 {
            bits.take(24)?;
        }
    }
    if bits.take(1)? == 1 {
        bits.golomb()?;
        bits.golomb()?;
    }
    if bits.take(1)? == 0 {
        return None;
    }
    // A tick is a field: two make a frame.
    let (tick, scale) = (bits.take(32)?, bits.take(32)?);
    Rate::checked(scale, tick.checked_mul(2)?)
}

/// Removes the bytes that keep start codes out of a unit (00 00 03).
fn without_emulation(bytes: &[u8]) -> Vec<u8> {
    let mut zeros = 0;
    let keep = |&byte: &u8| {
        let keep = zeros < 2 || byte != 3;
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        keep
    };
    bytes.iter().copied().take(1024).filter(keep).collect()
}

/// The other way round, behind a NAL header.
fn with_emulation(header: u8, bytes: impl Iterator<Item = u8>) -> Vec<u8> {
    let (mut out, mut zeros) = (vec![header], 0);
    for byte in bytes {
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    /// The next `count` bits, at most 32.
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0_u32;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// An unsigned Exp-Golomb code (9.1).
    fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.take(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1_u32 << zeros) - 1 + self.take(zeros)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
    }

    #[test]
    fn real_parameter_sets_are_read() {
        // By x264: high profile, cropped to 1080 rows; baseline; high 4:2:2.
        for (nal, size, rate) in [
            ("67640028acd940780227e5c044000003000400000300c83c60c658", (1920, 1080), Some((50, 2))),
            ("6742c01ed900a02ff970110000030001000003003c0f162e48", (640, 360), Some((60, 2))),
            ("677a000cbcd94141fb0110000003001000000301e0f1429960", (320, 240), Some((30, 2))),
        ] {
            let sps = parse(&hex(nal)).unwrap();
            assert_eq!(sps.size, size);
            assert_eq!(sps.rate, rate.map(|(frames, seconds)| Rate { frames, seconds }));
        }
    }

    #[test]
    fn the_meaning_of_colours_is_added_where_it_is_missing() {
        for size in [(640, 360), (320, 240), (1920, 1080)] {
            let bare = bare(size);
            assert_eq!(parse(&bare).unwrap().size, size);
            for (colour, bits) in [
                (Colour::JPEG, [1, 0, 0, 1, 1, 0, 1, 1, 1]),
                (Colour::HD, [1, 0, 0, 1, 1, 0, 1, 0, 1]),
                (Colour::default(), [1, 0, 0, 1, 1, 0, 1, 0, 1]),
            ] {
                let told = with_colour(&bare, colour).unwrap();
                assert_eq!(parse(&told), Some(Sps { size, rate: None }));
                let rbsp = without_emulation(&told[1..]);
                let mut read = Bits { bytes: &rbsp, at: 0 };
                super::size(&mut read).unwrap();
                bits.into_iter().for_each(|bit| assert_eq!(read.take(1), Some(bit), "{colour:?}"));
                let meaning = if colour.bt709 { 1 } else { 6 };
                (0..3).for_each(|_| assert_eq!(read.take(8), Some(meaning)));
                assert_eq!(read.take(7), Some(1), "nothing more, and the end");
                // No start code in it, and not said twice.
                assert!(told.windows(3).all(|w| w[..2] != [0, 0] || w[2] > 2), "{told:?}");
                assert_eq!(with_colour(&told, colour), None);
            }
        }
        for length in 0..8 {
            assert_eq!(with_colour(&bare((640, 360))[..length], Colour::JPEG), None, "{length} bytes");
        }
    }

    /// A baseline parameter set without a word on display, level 0 for its zeros.
    fn bare((width, height): (u32, u32)) -> Vec<u8> {
        fn golomb(value: u32) -> Vec<u8> {
            let length = 32 - (value + 1).leading_zeros();
            (0..2 * length - 1).rev().map(|i| ((value + 1) >> i & 1) as u8).collect()
        }
        let (columns, rows) = (width.div_ceil(16), height.div_ceil(16));
        let mut bits: Vec<u8> =
            [66_u8, 0, 0].iter().flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1)).collect();
        bits.extend([0, 4, 2, 1].into_iter().flat_map(golomb));
        bits.push(0);
        bits.extend([columns - 1, rows - 1].into_iter().flat_map(golomb));
        bits.extend([1, 1, 1]);
        bits.extend([0, (16 * columns - width) / 2, 0, (16 * rows - height) / 2].into_iter().flat_map(golomb));
        bits.extend([0, 1]);
        let bytes = bits.chunks(8).map(|bits| bits.iter().enumerate().fold(0, |byte, (i, bit)| byte | bit << (7 - i)));
        with_emulation(0x67, bytes)
    }

    #[test]
    fn damaged_parameter_sets_are_refused_or_read_and_nothing_worse() {
        let whole = hex("67640028acd940780227e5c044000003000400000300c83c60c658");
        for length in 0..whole.len() {
            let _ = parse(&whole[..length]);
        }
        for i in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[i / 8] ^= 1 << (i % 8);
            let _ = parse(&damaged);
        }
        assert_eq!(parse(&[0x67]), None);
        assert_eq!(parse(&[0x67, 66, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }
}
