//! Keeps the encoder within its bitrate where key frames come often. Pure: time is an argument.
//!
//! An encoder's rate control foresees pictures, and not the key frames that viewers ask for: one each second takes a third
//! more than was asked for. What is sent is measured, and the encoder aimed lower until it fits.

use std::{collections::VecDeque, time::Duration};

use crate::clock::Mono;

/// What is measured: long enough to hold two of the key frames that repairs may ask for.
const WINDOW: Duration = Duration::from_secs(2);
/// The aim is corrected so often.
const STEP: Duration = Duration::from_millis(250);
/// The least that the encoder is aimed at, as a share of what is wanted.
const LEAST: f64 = 0.5;
/// Corrections have this grain, so that the encoder is not told something new each time.
const GRAIN: f64 = 20.0;
/// Pictures remembered at most: two seconds at 120/s.
const PICTURES: usize = 256;

/// What was sent of late, and how much lower the encoder is aimed for it.
#[derive(Debug)]
pub(crate) struct Budget {
    sent: VecDeque<(Mono, usize)>,
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
    /// A picture of so many bytes was sent.
    pub(crate) fn sent(&mut self, bytes: usize, now: Mono) {
        self.since.get_or_insert(now);
        if self.sent.len() == PICTURES {
            self.sent.pop_front();
        }
        self.sent.push_back((now, bytes));
    }

    /// What to aim the encoder at, so that `wanted` bits per second are sent.
    pub(crate) fn aim(&mut self, wanted: u32, now: Mono) -> u32 {
        while self.sent.front().is_some_and(|(at, _)| now.since(*at) >= WINDOW) {
            self.sent.pop_front();
        }
        let full = self.since.is_some_and(|since| now.since(since) >= WINDOW);
        if full && now.since(self.corrected) >= STEP {
            self.corrected = now;
            let bits = self.sent.iter().map(|(_, bytes)| *bytes as f64 * 8.0).sum::<f64>() / WINDOW.as_secs_f64();
            // A quarter of the way each time: what is measured lags behind by the window.
            let correction = (f64::from(wanted) / bits.max(1.0)).clamp(0.5, 2.0).powf(0.25);
            self.factor = (self.factor * correction).clamp(LEAST, 1.0);
        }
        (f64::from(wanted) * (self.factor * GRAIN).round() / GRAIN) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays an encoder that makes `more` times what it is aimed at, and key frames of `key` bits each second; what it made in
    /// the last five seconds, and what it is aimed at then, both by what was wanted.
    fn play(more: f64, key: f64) -> (f64, f64) {
        const WANTED: u32 = 1_000_000;
        let mut budget = Budget::default();
        let (mut made, mut aim) = (0.0, 0);
        for n in 0..900_u64 {
            let now = Mono(1_000_000_000 + n * 33_333_333);
            aim = budget.aim(WANTED, now);
            let picture = f64::from(aim) * more / 30.0 + if n % 30 == 0 { key } else { 0.0 };
            budget.sent((picture / 8.0) as usize, now);
            made += if n >= 750 { picture } else { 0.0 };
        }
        (made / 5.0 / f64::from(WANTED), f64::from(aim) / f64::from(WANTED))
    }

    #[test]
    fn what_is_sent_fits_the_bitrate() {
        for (name, more, key, made, aim) in [
            ("an encoder that keeps to it", 1.0, 0.0, 0.97..1.03, 0.95..1.01),
            ("key frames each second", 1.0, 300_000.0, 0.9..1.1, 0.6..0.8),
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
        let mut budget = Budget::default();
        assert_eq!(budget.aim(1_000_000, Mono(0)), 1_000_000);
        (0..1_000).for_each(|n| budget.sent(100_000, Mono(n)));
        assert_eq!(budget.aim(1_000_000, Mono(1_000_000_000)), 1_000_000, "a first key frame is not held against it");
        assert_eq!(budget.sent.len(), PICTURES);
    }
}
