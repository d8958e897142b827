//! The H.264 level that an encoded stream needs. Pure.

use crate::{units::Bitrate, video::frame_pace::Rate};

/// `level_idc`, macroblocks per frame (MaxFS), macroblocks per second (MaxMBPS), kbit/s (MaxBR); ITU-T H.264, table
///
const LEVELS: [(u8, f64, f64, f64); 7] = [
    (31, 3_600.0, 108_000.0, 14_000.0),
    (32, 5_120.0, 216_000.0, 20_000.0),
    (40, 8_192.0, 245_760.0, 20_000.0),
    (41, 8_192.0, 245_760.0, 50_000.0),
    (42, 8_704.0, 522_240.0, 50_000.0),
    (50, 22_080.0, 589_824.0, 135_000.0),
    (51, 36_864.0, 983_040.0, 240_000.0),
];
/// The level above all of them.
const HIGHEST: u8 = 52;

/// The lowest level that allows size, rate and bitrate (ITU-T H.264, table A-1), at least 3.1, which every WebRTC
/// peer decodes.
pub(crate) fn lowest((width, height): (usize, usize), rate: Rate, bitrate: Bitrate) -> u8 {
    let blocks = (width.div_ceil(16) * height.div_ceil(16)) as f64;
    let kilobits = bitrate / Bitrate::from_kbps(1);
    LEVELS
        .into_iter()
        .find(|&(_, size, speed, bits)| blocks <= size && blocks * rate.fps() <= speed && kilobits <= bits)
        .map_or(HIGHEST, |(level, ..)| level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_the_lowest_that_suffices() {
        for (size, fps, bitrate, expected) in [
            ((320, 240), 30, 300, 31),
            ((1280, 720), 30, 2_000, 31),
            ((1280, 720), 60, 2_000, 32),
            ((1920, 1080), 30, 4_000, 40),
            ((1920, 1080), 30, 30_000, 41),
            ((1920, 1080), 60, 8_000, 42),
            ((3840, 2160), 30, 8_000, 51),
            ((3840, 2160), 60, 8_000, 52),
        ] {
            let bitrate = Bitrate::from_kbps(bitrate);
            assert_eq!(lowest(size, Rate::whole(fps), bitrate), expected, "{size:?} {fps} {bitrate}");
        }
    }
}
