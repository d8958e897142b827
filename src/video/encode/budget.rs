//! Keeps the sent bitrate within its limit when keyframes are frequent. Pure: time is an argument.
//!
//! An encoder's rate control does not foresee the keyframes that viewers request. One each second adds a third to the
//! bitrate. So the sent bitrate is measured, and the encoder's target is lowered until it fits.

use std::{collections::VecDeque, time::Duration};

use crate::{
    clock::Mono,
    units::{Bitrate, DataSize},
};

/// The period that is measured: long enough for two of the keyframes that repairs may request.
const WINDOW: Duration = Duration::from_secs(2);
/// The interval between corrections.
const STEP: Duration = Duration::from_millis(250);
/// The lowest target, as a share of the wanted bitrate.
const LEAST: f64 = 0.5;
/// Corrections are rounded to 1/20, so that the encoder does not get a new target each time.
const GRAIN: f64 = 20.0;
/// How many frames are remembered: two seconds at 120 frames/s.
const PICTURES: usize = 256;

/// The frames sent recently, and by how much the encoder's target is lowered.
#[derive(Debug)]
pub(crate) struct Budget {
    sent: VecDeque<(Mono, DataSize)>,
    since: Option<Mono>,
    corrected: Mono,
    factor: f64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { sent: VecDeque::new(), since: None, corrected: Mono(0), factor: 1.0 }
    }
}

impl Budget {
    /// A frame of `bytes` bytes was sent.
    pub(crate) fn sent(&mut self, size: DataSize, now: Mono) {
        self.since.get_or_insert(now);
        if self.sent.len() == PICTURES {
            self.sent.pop_front();
        }
        self.sent.push_back((now, size));
    }

    /// The encoder's target, so that `wanted` is sent.
    pub(crate) fn aim(&mut self, wanted: Bitrate, now: Mono) -> Bitrate {
        while self.sent.front().is_some_and(|(at, _)| now.since(*at) >= WINDOW) {
            self.sent.pop_front();
        }
        let full = self.since.is_some_and(|since| now.since(since) >= WINDOW);
        if full && now.since(self.corrected) >= STEP {
            self.corrected = now;
            let sent = self.sent.iter().map(|(_, size)| *size).sum::<DataSize>() / WINDOW;
            // A quarter of the difference each time, since the measured rate lags by the window.
            let correction = (wanted / sent.max(Bitrate::from_bps(1))).clamp(0.5, 2.0).powf(0.25);
            self.factor = (self.factor * correction).clamp(LEAST, 1.0);
        }
        (wanted * (self.factor * GRAIN).round() / GRAIN).floor()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays an encoder that makes `more` times its target, with keyframes of `key` bits each second. Returns what it
    /// made in the last five seconds and its target then, both divided by the wanted bitrate.
    fn play(more: f64, key: f64) -> (f64, f64) {
        const WANTED: Bitrate = Bitrate::from_kbps(1_000);
        let mut budget = Budget::default();
        let (mut made, mut aim) = (0.0, Bitrate::ZERO);
        for n in 0..900_u64 {
            let now = Mono(1_000_000_000 + n * 33_333_333);
            aim = budget.aim(WANTED, now);
            let picture = aim.as_bps_f64() * more / 30.0 + if n % 30 == 0 { key } else { 0.0 };
            budget.sent(DataSize::from_bits(picture as u64), now);
            made += if n >= 750 { picture } else { 0.0 };
        }
        (made / 5.0 / WANTED.as_bps_f64(), aim / WANTED)
    }

    #[test]
    fn what_is_sent_fits_the_bitrate() {
        for (name, more, key, made, aim) in [
            ("an encoder that keeps to it", 1.0, 0.0, 0.97..1.03, 0.95..1.01),
            ("keyframes each second", 1.0, 300_000.0, 0.9..1.1, 0.6..0.8),
            ("one that makes too much", 1.4, 0.0, 0.9..1.1, 0.65..0.8),
            ("a picture that needs little", 0.2, 0.0, 0.19..0.21, 1.0..1.01),
            ("no more than half is taken away", 1.0, 900_000.0, 1.3..1.5, 0.49..0.51),
        ] {
            let (found, aimed) = play(more, key);
            assert!(made.contains(&found), "{name}: {found} made");
            assert!(aim.contains(&aimed), "{name}: aimed at {aimed}");
        }
    }

    #[test]
    fn the_first_seconds_are_the_encoders_own_and_nothing_grows() {
        let (mut budget, rate) = (Budget::default(), Bitrate::from_kbps(1_000));
        assert_eq!(budget.aim(rate, Mono(0)), rate);
        (0..1_000).for_each(|n| budget.sent(DataSize::from_bytes(100_000), Mono(n)));
        assert_eq!(budget.aim(rate, Mono(1_000_000_000)), rate, "a first keyframe is not held against it");
        assert_eq!(budget.sent.len(), PICTURES);
    }
}
