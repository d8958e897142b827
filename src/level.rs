//! Levels of H.264 (ITU-T H.264, table A-1): what a stream requires of its decoder. Pure.

use std::fmt;

/// A level of H.264. A higher one requires more of the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level {
    /// Twice `level_idc`, which leaves room for 1b between 1 and 1.1.
    doubled: u16,
}

/// `level_idc`, and the largest picture of that level in macroblocks (MaxFS). Of levels with the same MaxFS, the
/// lowest.
const SIZES: [(u16, u32); 11] = [
    (10, 99),
    (11, 396),
    (21, 792),
    (22, 1_620),
    (31, 3_600),
    (32, 5_120),
    (40, 8_192),
    (42, 8_704),
    (50, 22_080),
    (51, 36_864),
    (60, 139_264),
];
/// The level for larger pictures.
const HIGHEST: u16 = 62;
/// The profiles in which `constraint_set3_flag` turns level 1.1 into 1b (sections A.3.1 to A.3.3): Baseline, Main and
/// Extended.
const WITH_1B: [u8; 3] = [66, 77, 88];

impl Level {
    /// The level in `profile_idc`, constraint flags and `level_idc`: the first three bytes of a sequence parameter set,
    /// and of `profile-level-id` (RFC 6184 section 8.1).
    pub fn of([profile, constraints, idc]: [u8; 3]) -> Self {
        let is_1b = idc == 9 || idc == 11 && constraints & 0x10 != 0 && WITH_1B.contains(&profile);
        Self { doubled: if is_1b { 21 } else { 2 * u16::from(idc) } }
    }

    /// The lowest level that allows pictures of this many macroblocks (16x16 pixels).
    pub fn of_size(macroblocks: u32) -> Self {
        let found = SIZES.into_iter().find(|(_, most)| macroblocks <= *most);
        Self { doubled: 2 * found.map_or(HIGHEST, |(idc, _)| idc) }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.doubled / 2, self.doubled % 2) {
            (_, 1) => f.write_str("1b"),
            (idc, _) => write!(f, "{}.{}", idc / 10, idc % 10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_ordered_and_written() {
        let rising = [
            ([0x42, 0xe0, 10], "1.0"),
            ([0x42, 0xf0, 11], "1b"),
            ([0x42, 0xe0, 11], "1.1"),
            ([0x4d, 0x40, 12], "1.2"),
            ([0x64, 0x00, 30], "3.0"),
            ([0x42, 0xe0, 31], "3.1"),
            ([0x64, 0x00, 52], "5.2"),
            ([0x64, 0x00, 255], "25.5"),
        ];
        for pair in rising.windows(2) {
            assert!(Level::of(pair[0].0) < Level::of(pair[1].0), "{pair:?}");
        }
        for (bytes, text) in rising {
            assert_eq!(Level::of(bytes).to_string(), text);
        }
        assert_eq!(Level::of([0x64, 0x00, 9]), Level::of([0x42, 0xf0, 11]), "1b has another number in high profiles");
        assert_eq!(Level::of([0x64, 0x10, 11]).to_string(), "1.1", "in high profiles the flag does not mean 1b");
    }

    #[test]
    fn a_size_has_a_lowest_level() {
        for ((width, height), text) in [
            ((176, 144), "1.0"),
            ((352, 288), "1.1"),
            ((640, 480), "2.2"),
            ((1280, 720), "3.1"),
            ((1920, 1088), "4.0"),
            ((3840, 2160), "5.1"),
            ((16_384, 16_384), "6.2"),
        ] {
            assert_eq!(Level::of_size(width / 16 * height / 16).to_string(), text, "{width}x{height}");
        }
    }
}
