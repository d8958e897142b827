//! How long to wait before the next try. Pure: the random number is an argument.
//!
//! Exponential backoff with full jitter: a thousand boards that lost one broker at the same moment come back spread
//! out. After a link that worked for long, the first tries are close together, since a broker that restarts is back
//! soon, also if a proxy before it accepts connections for it meanwhile. A broker that accepts connections and drops
//! them is tried less and less often. Two failures have longer
//! pauses, because trying again soon makes them worse or cannot help: a client id that another client took over, and a
//! login that was refused.

use std::time::Duration;

use super::LinkErrorKind;

/// After a connection that lasted this long, the pauses start small again.
pub(super) const GOOD: Duration = Duration::from_secs(30);
/// The first try comes within this time.
const FIRST: Duration = Duration::from_secs(2);
/// The shortest pause from the second try on.
const APART: Duration = Duration::from_secs(1);
/// The longest pause between tries that are close together.
const CLOSE: Duration = Duration::from_secs(4);
/// How many of them there are: enough for about a minute.
const CLOSE_TRIES: u32 = 24;
/// The longest pause.
const CAP: Duration = Duration::from_secs(60);
/// The shortest and the longest pause after a takeover: the other client is left alone for a minute.
const HOLD_OFF: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(90));
/// After a refused login: the shortest pause, and the longest after the first, the second and every further one.
const REFUSED: (Duration, [Duration; 3]) =
    (Duration::from_secs(60), [Duration::from_secs(90), Duration::from_secs(180), Duration::from_secs(300)]);

/// The pauses between tries.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    /// Tries that failed since there was a connection.
    tries: u32,
    /// Connections in a row that did not last.
    flaps: u32,
    /// Logins in a row that were refused.
    refused: usize,
}

impl Backoff {
    /// The pause after this failure. `chance`: a random number, uniform over its whole range.
    pub(super) fn pause(&mut self, kind: LinkErrorKind, chance: u32) -> Duration {
        let (least, most) = self.bounds(kind);
        self.tries = self.tries.saturating_add(1);
        least + (most - least).mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }

    fn bounds(&mut self, kind: LinkErrorKind) -> (Duration, Duration) {
        match kind {
            LinkErrorKind::TakenOver => return HOLD_OFF,
            LinkErrorKind::Login => {
                let most = REFUSED.1[self.refused.min(REFUSED.1.len() - 1)];
                self.refused = self.refused.saturating_add(1);
                return (REFUSED.0, most);
            }
            _ => self.refused = 0,
        }
        if self.tries == 0 && self.flaps == 0 {
            return (Duration::ZERO, FIRST);
        }
        let doubled = |base: Duration, times: u32| base.saturating_mul(1 << times.min(16)).min(CAP);
        let most = match kind {
            // The broker is not there. If it restarts, it is back soon.
            LinkErrorKind::Name | LinkErrorKind::Refused | LinkErrorKind::Unreachable | LinkErrorKind::TimedOut
            // A proxy before it accepts the connection meanwhile: it closes it, breaks TLS off, or answers with 502.
            | LinkErrorKind::Lost | LinkErrorKind::Tls | LinkErrorKind::WebSocket => {
                doubled(CLOSE, self.tries.saturating_sub(CLOSE_TRIES)).min(doubled(FIRST, self.tries))
            }
            // The broker is there and does not serve.
            _ => doubled(FIRST, self.tries),
        };
        (APART, most.max(doubled(FIRST, self.flaps)))
    }

    /// A connection was up for `lasted`. Returns whether that was long enough to start over.
    pub(super) fn was_up(&mut self, lasted: Duration) -> bool {
        let good = lasted >= GOOD;
        (self.tries, self.refused) = (0, 0);
        self.flaps = if good { 0 } else { self.flaps.saturating_add(1) };
        good
    }

    /// Starts over, because the next try has nothing to do with the last failure.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// Random numbers, the same in each run.
    fn chances() -> impl FnMut() -> u32 {
        let mut seed = 0x9e37_79b9_u32;
        move || {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            seed
        }
    }

    #[test]
    fn the_first_tries_are_close_together_and_then_a_minute_apart() {
        let mut backoff = Backoff::default();
        assert!(backoff.was_up(GOOD));
        let bounds: Vec<u64> = (0..32).map(|_| backoff.pause(LinkErrorKind::Refused, u32::MAX).as_secs()).collect();
        assert_eq!(bounds[..4], [2, 4, 4, 4]);
        assert_eq!(bounds[4..25], [4; 21]);
        assert_eq!(bounds[25..], [8, 16, 32, 60, 60, 60, 60]);
    }

    #[test]
    fn a_broker_that_comes_back_is_found_within_five_seconds() {
        let mut chance = chances();
        use LinkErrorKind::{Lost, Refused, TimedOut, Tls, WebSocket};
        // The last three are what a proxy before a broker makes of its absence.
        for kind in [Refused, TimedOut, Lost, Tls, WebSocket] {
            for down in [1.0, 10.0, 30.0] {
                let mut late = 0;
                for _ in 0..1000 {
                    let (mut backoff, mut at) = (Backoff::default(), 0.0);
                    backoff.was_up(GOOD);
                    while at < down {
                        at += backoff.pause(kind, chance()).as_secs_f64();
                    }
                    late += u32::from(at > down + 5.0);
                }
                assert_eq!(late, 0, "after {down} s of {kind:?}");
            }
        }
    }

    #[test]
    fn a_broker_that_drops_its_connections_is_tried_ever_less_often_and_never_twice_a_second() {
        let mut backoff = Backoff::default();
        let mut bounds = Vec::new();
        for _ in 0..8 {
            assert!(!backoff.was_up(seconds(1)));
            bounds.push(backoff.bounds(LinkErrorKind::Lost).1.as_secs());
            assert!(backoff.pause(LinkErrorKind::Lost, 0) >= seconds(1), "with the worst of chances");
            assert!(backoff.pause(LinkErrorKind::Refused, 0) >= seconds(1));
        }
        assert_eq!(bounds, [4, 8, 16, 32, 60, 60, 60, 60]);
        assert!(backoff.was_up(GOOD));
        assert_eq!(backoff.bounds(LinkErrorKind::Lost), (Duration::ZERO, FIRST));
    }

    #[test]
    fn a_broker_that_takes_no_login_is_tried_ever_less_often() {
        let mut backoff = Backoff::default();
        let bounds: Vec<u64> = (0..7).map(|_| backoff.pause(LinkErrorKind::Busy, u32::MAX).as_secs()).collect();
        assert_eq!(bounds, [2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn two_hundred_boards_that_lost_one_broker_come_back_spread_out() {
        let mut chance = chances();
        let mut tenths = [0; 21];
        for _ in 0..200 {
            let mut backoff = Backoff::default();
            backoff.was_up(GOOD);
            let pause = backoff.pause(LinkErrorKind::Lost, chance()).as_secs_f64();
            tenths[(pause * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|n| *n <= 20), "at most a tenth of them in any 100 ms: {tenths:?}");
    }

    #[test]
    fn a_takeover_is_held_off_for_a_minute_however_often() {
        let mut backoff = Backoff::default();
        for (chance, expected) in [(0, 60), (u32::MAX, 90), (0, 60)] {
            backoff.was_up(seconds(2));
            assert_eq!(backoff.pause(LinkErrorKind::TakenOver, chance), seconds(expected));
        }
    }

    #[test]
    fn a_refused_login_is_tried_at_most_once_a_minute_and_at_least_every_five() {
        let mut backoff = Backoff::default();
        for expected in [90, 180, 300, 300, 300] {
            assert_eq!(backoff.bounds(LinkErrorKind::Login), (seconds(60), seconds(expected)));
        }
        backoff.was_up(GOOD);
        assert_eq!(backoff.bounds(LinkErrorKind::Login).1, seconds(90));
        backoff.reset();
        assert_eq!(backoff.bounds(LinkErrorKind::Lost), (Duration::ZERO, FIRST), "other credentials are tried at once");
    }

    #[test]
    fn years_of_failure_overflow_nothing() {
        let mut backoff = Backoff { tries: u32::MAX, flaps: u32::MAX, refused: usize::MAX };
        assert_eq!(backoff.pause(LinkErrorKind::Login, u32::MAX), seconds(300));
        assert_eq!(backoff.pause(LinkErrorKind::Lost, u32::MAX), CAP);
        backoff.was_up(seconds(1));
    }
}
