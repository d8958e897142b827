//! How long to wait before the next try. Pure: chance is an argument.
//!
//! Full jitter: anything between nothing and a bound that doubles. A thousand boards that lost one broker at the same
//! moment come back spread out, not in step.

use std::time::Duration;

/// The first bound.
const BASE: Duration = Duration::from_millis(500);
/// The last bound.
const CAP: Duration = Duration::from_secs(60);
/// A connection that lasted this long was a good one: the next try starts small again.
pub(super) const GOOD: Duration = Duration::from_secs(30);

/// The pauses between tries.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The next pause; `chance` is uniform over its whole range.
    pub(super) fn pause(&mut self, chance: u32) -> Duration {
        let bound = BASE.saturating_mul(1 << self.tries.min(16)).min(CAP);
        self.tries = self.tries.saturating_add(1);
        bound.mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }

    /// Takes in that a connection was up for `lasted`; tells whether it was a good one.
    pub(super) fn was_up(&mut self, lasted: Duration) -> bool {
        let good = lasted >= GOOD;
        if good {
            self.tries = 0;
        }
        good
    }

    /// Starts over: what is tried next has nothing to do with what failed.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_bound_doubles_up_to_a_minute() {
        let mut backoff = Backoff::default();
        let bounds: Vec<_> = (0..10).map(|_| backoff.pause(u32::MAX)).collect();
        let expected = [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000].map(millis);
        assert_eq!(bounds, expected);
    }

    #[test]
    fn chance_spreads_over_the_whole_range() {
        for (chance, expected) in [(0, 0), (u32::MAX / 4, 250), (u32::MAX / 2, 500), (u32::MAX, 1000)] {
            let mut backoff = Backoff { tries: 1 };
            assert!(backoff.pause(chance).abs_diff(millis(expected)) < millis(1), "chance {chance}");
        }
    }

    #[test]
    fn only_a_connection_that_lasted_starts_over() {
        let mut backoff = Backoff { tries: 5 };
        assert!(!backoff.was_up(GOOD - millis(1)));
        assert_eq!(backoff.pause(u32::MAX), millis(16_000));
        assert!(backoff.was_up(GOOD));
        assert_eq!(backoff.pause(u32::MAX), BASE);
    }

    #[test]
    fn years_of_failure_overflow_nothing() {
        let mut backoff = Backoff { tries: u32::MAX };
        assert_eq!(backoff.pause(u32::MAX), CAP);
    }
}
