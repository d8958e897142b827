//! Wake-ups that bring nothing: a driver that always says that there is something must not take all of a core. Pure.

use std::time::Duration;

/// So many in a row are nothing special: two things that are waited for take turns.
const USUAL: u32 = 4;
/// From so many in a row on the pause is longer.
const MANY: u32 = 50;
const SHORT: Duration = Duration::from_millis(1);
/// A tenth of a picture's time at 20/s, and half a period of sound.
const LONG: Duration = Duration::from_millis(5);

/// Counts wake-ups that brought nothing.
#[derive(Debug, Default)]
pub struct Idle(u32);

impl Idle {
    /// Something came, or the wait lasted as long as it may.
    pub fn rest(&mut self) {
        self.0 = 0;
    }

    /// Before each wait: how long to pause, by how many wake-ups before it brought nothing.
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
