//! What a sequence parameter set says (ITU-T H.264, 7.3.2.1.1 and E.1.1): as much as a clip needs. Pure.

use crate::video::pace::Rate;

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
    let profile = bits.take(8)?;
    bits.take(16)?; // constraint flags, level
    bits.golomb()?; // id
    let mut chroma = 1;
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma = high_profile(&mut bits)?;
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
    let size = (width.checked_sub(crop(left, right, unit_x)?)?, height.checked_sub(crop(top, bottom, unit_y)?)?);
    // What follows is only about display: a stream that is cut off here still has a size.
    let rate = if bits.take(1) == Some(1) { vui_rate(&mut bits) } else { None };
    Some(Sps { size, rate })
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
