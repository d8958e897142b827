//! Checks the hardware parameters that were negotiated. Pure. A card, or a plugin of alsa-lib before it, may report any
//! number.

use std::{ops::RangeInclusive, time::Duration};

use alsa::pcm::Frames;

use super::resample::RATES;

/// The number of channels; the maximum is more than any microphone array has.
const CHANNELS: RangeInclusive<u32> = 1..=32;
/// The longest period and the longest buffer. fanlight requests 10 ms and 250 ms. ALSA's `dsnoop` has periods of 21 to
/// 125 ms.
const PERIOD_MAX: Duration = Duration::from_millis(500);
const BUFFER_MAX: Duration = Duration::from_secs(60);

/// The negotiated parameters. The frame counts are as ALSA returns them, and may have any value.
#[derive(Debug, Clone, Copy)]
pub(super) struct NegotiatedParams {
    /// Samples per frame.
    pub(super) channels: u32,
    /// Frames per second.
    pub(super) rate: u32,
    /// Frames between two wake-ups.
    pub(super) period: Frames,
    /// Frames in the buffer.
    pub(super) buffer: Frames,
}

/// Checks channels and rate. The error has the card's values and the possible ones.
pub(super) fn check_samples(channels: u32, rate: u32) -> Result<(), String> {
    if CHANNELS.contains(&channels) && RATES.contains(&rate) {
        return Ok(());
    }
    Err(format!(
        "device offers {channels} channels at {rate} Hz; {} to {} channels at {} to {} Hz can be used",
        CHANNELS.start(),
        CHANNELS.end(),
        RATES.start(),
        RATES.end(),
    ))
}

/// Checks all parameters. The error has the card's values and the possible ones.
pub(super) fn check(terms: NegotiatedParams) -> Result<(), String> {
    let NegotiatedParams { channels, rate, period, buffer } = terms;
    check_samples(channels, rate)?;
    // At most a minute at the highest rate, which is far below the limits of 32 bits.
    let most = |time: Duration| (time.as_secs_f64() * f64::from(rate)) as Frames;
    if !(1..=most(PERIOD_MAX)).contains(&period) {
        return Err(format!(
            "device offers a period of {period} frames; 1 to {} can be used at {rate} Hz",
            most(PERIOD_MAX)
        ));
    }
    if !(period..=most(BUFFER_MAX)).contains(&buffer) {
        return Err(format!(
            "device offers a buffer of {buffer} frames; {period}, which is its period, to {} can be used",
            most(BUFFER_MAX)
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_sound_can_be_read_by_is_refused_with_the_reason() {
        let good = NegotiatedParams { channels: 1, rate: 48_000, period: 480, buffer: 12_000 };
        for (terms, expected) in [
            (good, None),
            (NegotiatedParams { channels: 32, rate: 192_000, ..good }, None),
            (NegotiatedParams { period: 1, buffer: 1, ..good }, None),
            (NegotiatedParams { period: 24_000, buffer: 24_000, ..good }, None),
            (NegotiatedParams { channels: 0, ..good }, Some("0 channels at 48000 Hz; 1 to 32 channels at ")),
            (NegotiatedParams { channels: 33, ..good }, Some("33 channels")),
            (NegotiatedParams { channels: u32::MAX, ..good }, Some("4294967295 channels")),
            (NegotiatedParams { rate: 1_000_000, ..good }, Some("1 channels at 1000000 Hz; ")),
            (NegotiatedParams { rate: 0, ..good }, Some("at 0 Hz")),
            (NegotiatedParams { period: 0, ..good }, Some("a period of 0 frames; 1 to 24000 can be used at 48000 Hz")),
            (NegotiatedParams { period: -1, ..good }, Some("a period of -1 frames")),
            (NegotiatedParams { period: 24_001, buffer: 1 << 20, ..good }, Some("a period of 24001 frames")),
            (NegotiatedParams { period: Frames::MAX, ..good }, Some("a period of")),
            (
                NegotiatedParams { buffer: 0, ..good },
                Some("a buffer of 0 frames; 480, which is its period, to 2880000"),
            ),
            (NegotiatedParams { buffer: 479, ..good }, Some("a buffer of 479 frames")),
            (NegotiatedParams { buffer: Frames::MAX, ..good }, Some("a buffer of")),
            (NegotiatedParams { buffer: Frames::MIN, ..good }, Some("a buffer of")),
        ] {
            match (check(terms), expected) {
                (Ok(()), None) => {}
                (Err(why), Some(part)) => assert!(why.contains(part), "{terms:?}: {why}"),
                (found, _) => panic!("{terms:?}: {found:?}"),
            }
        }
    }
}
