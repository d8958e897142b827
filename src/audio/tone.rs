//! The test tone: 1 kHz at half of full scale for the first 60 ms of every full second of the wall clock, else a quiet
//! 220 Hz. The time of its onset, modulo one second, is the audio delay. Compared with the picture clock, it gives the
//! lip-sync error.

use std::{f64::consts::TAU, time::Duration};

use crate::audio::sample_clock::RATE;

/// The length of the beep, in nanoseconds from the full second.
const BEEP: u64 = 60_000_000;
const SECOND: u64 = 1_000_000_000;

/// The phase in turns, which makes the wave continuous between blocks and pitches.
#[derive(Debug, Default)]
pub(super) struct Tone {
    phase: f64,
}

impl Tone {
    /// Fills `out`, interleaved. Its first sample belongs to the wall clock time `wall`.
    pub(super) fn render(&mut self, wall: Duration, out: &mut [f32], channels: usize) {
        let start = u64::from(wall.subsec_nanos());
        for (n, frame) in (0u64..).zip(out.chunks_mut(channels)) {
            let (hz, amplitude) = match (start + n * SECOND / u64::from(RATE)) % SECOND {
                0..BEEP => (1000.0, 0.5),
                _ => (220.0, 0.01),
            };
            frame.fill(((self.phase * TAU).sin() * amplitude) as f32);
            self.phase = (self.phase + hz / f64::from(RATE)).fract();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Renders `blocks` of 20 ms, beginning at `start` of the wall clock.
    fn rendered(start: Duration, blocks: u32) -> Vec<f32> {
        let mut tone = Tone::default();
        let mut out = Vec::new();
        for n in 0..blocks {
            let mut block = [0.0; 1_920];
            tone.render(start + Duration::from_millis(20) * n, &mut block, 2);
            assert!(block.chunks_exact(2).all(|f| f[0] == f[1]));
            out.extend(block.chunks_exact(2).map(|f| f[0]));
        }
        out
    }

    fn crossings(samples: &[f32]) -> usize {
        samples.windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0).count()
    }

    #[test]
    fn the_beep_starts_with_the_second_and_lasts_60_ms() {
        // 13 ms before a full second: 624 samples.
        let sound = rendered(Duration::from_millis(1_699_999_999_987), 60);
        let loud: Vec<usize> = (0..sound.len()).filter(|n| sound[*n].abs() > 0.011).collect();
        let (first, last) = (loud[0], loud.iter().rfind(|n| **n < 24_000).unwrap());
        assert!((624..630).contains(&first), "{first}");
        assert!((624 + 2_870..624 + 2_880).contains(last), "{last}");
        assert!((48_624..48_630).contains(loud.iter().find(|n| **n > 24_000).unwrap()));
    }

    #[test]
    fn both_pitches_are_right() {
        let sound = rendered(Duration::from_secs(1_700_000_000), 50);
        assert!(crossings(&sound[..2_880]).abs_diff(60) <= 1);
        assert!(crossings(&sound[2_880..]).abs_diff(207) <= 1);
        let peak = sound.iter().copied().fold(0.0, f32::max);
        assert!((0.499..=0.5).contains(&peak), "{peak}");
    }

    #[test]
    fn the_phase_is_continuous() {
        let sound = rendered(Duration::from_millis(1_700_000_000_500), 20);
        // Within one pitch, the wave limits the slope. A jump at a block's edge would exceed it.
        let steepest = sound.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
        assert!(steepest <= 0.01 * std::f32::consts::TAU * 220.0 / 48_000.0 * 1.01, "{steepest}");
    }
}
