//! Limits wake-ups without data: a driver that always reports data must not use a whole core. Pure.

use std::time::Duration;

/// This many in a row are normal, if a thread waits for two things.
const USUAL: u32 = 4;
/// After this many in a row, the pause is longer.
const MANY: u32 = 50;
const SHORT: Duration = Duration::from_millis(1);
/// A tenth of a frame's duration at 20 frames/s, and half an audio period.
const LONG: Duration = Duration::from_millis(5);

/// Counts wake-ups without data.
#[derive(Debug, Default)]
pub struct Idle(u32);

impl Idle {
    /// Data came, or a wait lasted its full time: the count starts again.
    pub fn rest(&mut self) {
        self.0 = 0;
    }

    /// Call this before each wait. Returns how long to pause, by the number of wake-ups without data.
    pub fn pause(&mut self) -> Duration {
        self.0 = self.0.saturating_add(1);
        match self.0 {
            0..=USUAL => Duration::ZERO,
            n if n <= MANY => SHORT,
            _ => LONG,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_of_wake_ups_is_slowed_down_and_its_end_forgotten() {
        let mut idle = Idle::default();
        let storm: Duration = (0..250).map(|_| idle.pause()).sum();
        assert!(storm >= Duration::from_secs(1), "250 wake-ups took {storm:?}");
        idle.rest();
        assert!((0..4).all(|_| idle.pause().is_zero()));
        assert_eq!(idle.pause(), SHORT);
        for _ in 0..1_000_000 {
            assert!(idle.pause() <= LONG);
        }
    }
}
