//! Reads a sequence parameter set, as far as we need it (ITU-T H.264, 7.3.2.1.1 and E.1.1). Pure.

use crate::video::{decode::planes::Colour, frame_pace::Rate};

/// The fields of a sequence parameter set (SPS).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sps {
    /// The fields before the VUI (video usability information).
    pub(crate) head: Head,
    /// Width and height in pixels, after cropping.
    pub(crate) size: (u32, u32),
    /// Width and height before cropping, for which a decoder allocates memory.
    pub(crate) coded: (u32, u32),
    /// Frames per second, if the VUI gives it.
    pub(crate) rate: Option<Rate>,
    /// How many frames may precede one that is shown earlier (`max_num_reorder_frames`), if the VUI gives it.
    pub(crate) reorder: Option<u32>,
}

/// The fields that are needed to read slices, and to know which decoders support the stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// `seq_parameter_set_id`.
    pub(crate) id: u32,
    /// `chroma_format_idc`: 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub(crate) chroma: u32,
    /// Bits per sample, of luma or chroma, whichever has more.
    pub(crate) depth: u32,
    /// `separate_colour_plane_flag`.
    pub(crate) separate: bool,
    /// The number of bits of `frame_num`.
    pub(crate) number_bits: u32,
    /// `pic_order_cnt_type`, and the number of bits of `pic_order_cnt_lsb` for type 0.
    pub(crate) order: (u32, u32),
    /// `frame_mbs_only_flag`: all pictures are frames, not fields.
    pub(crate) frames_only: bool,
}

/// Width and height in pixels.
type Size = (u32, u32);

/// Reads an SPS with its NAL header; `None` if it is damaged.
pub(crate) fn parse(nal: &[u8]) -> Option<Sps> {
    let rbsp = without_emulation(nal.get(1..)?);
    let mut bits = Bits { bytes: &rbsp, at: 0 };
    let (head, coded, size) = head(&mut bits)?;
    let mut sps = Sps { head, size, coded, rate: None, reorder: None };
    // The rest is the VUI. A set that is cut off here still has a size.
    if bits.take(1) == Some(1) {
        let _ = sps.display(&mut bits);
    }
    Some(sps)
}

/// The id of an SPS, even if the rest cannot be read.
pub(crate) fn id(nal: &[u8]) -> Option<u32> {
    let rbsp = without_emulation(nal.get(1..)?);
    let mut bits = Bits { bytes: &rbsp, at: 24 };
    bits.golomb().filter(|id| *id < 32)
}

/// Adds a VUI with the colour space to an SPS. `None` if it has a VUI already, or is damaged. Without it, the viewer
/// guesses, which is wrong for the full range of JPEG.
pub(crate) fn with_colour(nal: &[u8], colour: Colour) -> Option<Vec<u8>> {
    let rbsp = without_emulation(nal.get(1..)?);
    let mut bits = Bits { bytes: &rbsp, at: 0 };
    head(&mut bits)?;
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
    put(2, 0); // no aspect ratio, no overscan information
    put(1, 1);
    put(3, 5); // video_format: unspecified
    put(1, u32::from(colour.full_range));
    put(1, 1);
    let meaning = if colour.bt709 { 1 } else { 6 };
    (0..3).for_each(|_| put(8, meaning));
    put(6, 0); // no further fields
    put(1, 1); // rbsp_stop_one_bit
    let bytes =
        out.chunks(8).map(|bits| bits.iter().enumerate().fold(0, |byte, (i, bit)| byte | (*bit as u8) << (7 - i)));
    Some(with_emulation(nal[0], bytes))
}

/// Reads everything before the VUI. Returns it with the size before and after cropping.
fn head(bits: &mut Bits<'_>) -> Option<(Head, Size, Size)> {
    let profile = bits.take(8)?;
    bits.take(16)?; // constraint flags, level
    let mut head = Head { id: bits.golomb().filter(|id| *id < 32)?, chroma: 1, depth: 8, ..Head::default() };
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        high_profile(bits, &mut head)?;
    }
    // Both have at most 16 bits (7.4.2.1.1).
    let width = |bits: &mut Bits<'_>| Some(bits.golomb().filter(|n| *n <= 12)? + 4);
    head.number_bits = width(bits)?;
    head.order.0 = bits.golomb()?;
    match head.order.0 {
        0 => head.order.1 = width(bits)?,
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
    head.frames_only = frames_only == 1;
    if frames_only == 0 {
        bits.take(1)?;
    }
    bits.take(1)?;
    let height = 16 * map_units * (2 - frames_only);
    let [mut left, mut right, mut top, mut bottom] = [0; 4];
    if bits.take(1)? == 1 {
        (left, right, top, bottom) = (bits.golomb()?, bits.golomb()?, bits.golomb()?, bits.golomb()?);
    }
    let unit_x = if matches!(head.chroma, 1 | 2) { 2 } else { 1 };
    let unit_y = (2 - frames_only) * if head.chroma == 1 { 2 } else { 1 };
    let crop = |a: u32, b: u32, unit: u32| a.checked_add(b)?.checked_mul(unit);
    let size = (width.checked_sub(crop(left, right, unit_x)?)?, height.checked_sub(crop(top, bottom, unit_y)?)?);
    Some((head, (width, height), size))
}

/// Skips the fields that only the high profiles have, except for chroma format and bit depth.
fn high_profile(bits: &mut Bits<'_>, head: &mut Head) -> Option<()> {
    head.chroma = bits.golomb().filter(|n| *n <= 3)?;
    if head.chroma == 3 {
        head.separate = bits.take(1)? == 1;
    }
    let deeper = bits.golomb()?.max(bits.golomb()?);
    head.depth = 8 + Some(deeper).filter(|n| *n <= 6)?;
    bits.take(1)?;
    if bits.take(1)? == 1 {
        for list in 0..if head.chroma == 3 { 12 } else { 8 } {
            if bits.take(1)? == 1 {
                scaling_list(bits, if list < 6 { 16 } else { 64 })?;
            }
        }
    }
    Some(())
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

impl Sps {
    /// Reads the VUI as far as it is complete.
    fn display(&mut self, bits: &mut Bits<'_>) -> Option<()> {
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
        if bits.take(1)? == 1 {
            // A tick is one field; two make a frame.
            let (tick, scale) = (bits.take(32)?, bits.take(32)?);
            self.rate = tick.checked_mul(2).and_then(|tick| Rate::checked(scale, tick));
            bits.take(1)?;
        }
        let (nal, vcl) = (buffering(bits)?, buffering(bits)?);
        if nal || vcl {
            bits.take(1)?;
        }
        bits.take(1)?; // pic_struct
        if bits.take(1)? == 1 {
            bits.take(1)?;
            (0..4).try_for_each(|_| bits.golomb().map(drop))?;
            self.reorder = Some(bits.golomb()?);
        }
        Some(())
    }
}

/// Skips the HRD parameters (E.1.2). Returns whether there are any.
fn buffering(bits: &mut Bits<'_>) -> Option<bool> {
    if bits.take(1)? == 0 {
        return Some(false);
    }
    let count = bits.golomb().filter(|n| *n < 32)? + 1;
    bits.take(8)?;
    for _ in 0..count {
        bits.golomb()?;
        bits.golomb()?;
        bits.take(1)?;
    }
    bits.take(20)?;
    Some(true)
}

/// Removes the emulation prevention bytes of a NAL unit (00 00 03).
pub(crate) fn without_emulation(bytes: &[u8]) -> Vec<u8> {
    let mut zeros = 0;
    let keep = |&byte: &u8| {
        let keep = zeros < 2 || byte != 3;
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        keep
    };
    bytes.iter().copied().take(1024).filter(keep).collect()
}

/// Adds the emulation prevention bytes, and a NAL header.
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

/// Reads bits, the most significant first.
pub(crate) struct Bits<'a> {
    /// The bytes to read.
    pub(crate) bytes: &'a [u8],
    /// The index of the next bit.
    pub(crate) at: usize,
}

impl Bits<'_> {
    /// The next `count` bits, at most 32.
    pub(crate) fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0_u32;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// An unsigned Exp-Golomb code (ITU-T H.264, 9.1).
    pub(crate) fn golomb(&mut self) -> Option<u32> {
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
pub(crate) mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
    }

    #[test]
    fn real_parameter_sets_are_read() {
        // From x264: high profile, cropped to 1080 rows; baseline; high 4:2:2.
        for (nal, size, rate, more) in [
            ("67640028acd940780227e5c044000003000400000300c83c60c658", (1920, 1080), Some((50, 2)), (1, 8, Some(2))),
            ("6742c01ed900a02ff970110000030001000003003c0f162e48", (640, 360), Some((60, 2)), (1, 8, Some(0))),
            ("677a000cbcd94141fb0110000003001000000301e0f1429960", (320, 240), Some((30, 2)), (2, 8, Some(2))),
        ] {
            let sps = parse(&hex(nal)).unwrap();
            assert_eq!(sps.size, size);
            assert_eq!(sps.rate, rate.map(|(frames, seconds)| Rate { frames, seconds }));
            assert_eq!((sps.head.chroma, sps.head.depth, sps.reorder), more, "{nal}");
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
                assert_eq!(parse(&told), Some(Sps { reorder: None, ..parse(&bare).unwrap() }));
                let rbsp = without_emulation(&told[1..]);
                let mut read = Bits { bytes: &rbsp, at: 0 };
                head(&mut read).unwrap();
                bits.into_iter().for_each(|bit| assert_eq!(read.take(1), Some(bit), "{colour:?}"));
                let meaning = if colour.bt709 { 1 } else { 6 };
                (0..3).for_each(|_| assert_eq!(read.take(8), Some(meaning)));
                assert_eq!(read.take(7), Some(1), "nothing more, and the end");
                // It contains no start code, and is not added twice.
                assert!(told.windows(3).all(|w| w[..2] != [0, 0] || w[2] > 2), "{told:?}");
                assert_eq!(with_colour(&told, colour), None);
            }
        }
        for length in 0..8 {
            assert_eq!(with_colour(&bare((640, 360))[..length], Colour::JPEG), None, "{length} bytes");
        }
    }

    /// A baseline SPS without VUI, level 0 for its zeros.
    pub(crate) fn bare((width, height): (u32, u32)) -> Vec<u8> {
        let coded = (width.next_multiple_of(16), height.next_multiple_of(16));
        cropped(coded, (width, height))
    }

    /// The same, for frames of a coded size that are cropped.
    pub(crate) fn cropped(coded: (u32, u32), (width, height): (u32, u32)) -> Vec<u8> {
        fn golomb(value: u32) -> Vec<u8> {
            let length = 32 - (value + 1).leading_zeros();
            (0..2 * length - 1).rev().map(|i| ((value + 1) >> i & 1) as u8).collect()
        }
        let (columns, rows) = (coded.0 / 16, coded.1 / 16);
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
