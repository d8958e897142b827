//! Whether a hardware encoder is trusted with the next picture. Pure.

use std::time::Duration;

use crate::clock::Mono;

/// A picture that is not done after this long never will be.
pub(super) const WEDGED: Duration = Duration::from_millis(1500);
/// How long one that failed may take to let go of its device, before it is given up.
const LETTING_GO: Duration = Duration::from_millis(1000);
/// One that worked this long is forgiven its last failure.
const FORGIVEN: Duration = Duration::from_secs(600);

/// What is to code the next picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The hardware.
    Hardware,
    /// Nobody yet: the device is about to be free again.
    Nobody,
    /// The processor, from now on.
    Software,
}

/// The first failure is answered with the encoder built anew, a second one in the next ten minutes with software, until
/// the camera is switched on the next time. Both within three seconds of the last picture.
#[derive(Debug, Default)]
pub(super) struct Trust {
    failed: Option<Mono>,
    letting_go: bool,
    lost: bool,
}

impl Trust {
    /// It failed while it worked.
    pub(super) fn failed(&mut self, now: Mono) {
        self.lost |= self.failed.is_some_and(|last| now.since(last) < FORGIVEN);
        self.failed = Some(now);
        self.letting_go = !self.lost;
    }

    /// It could not even be set up.
    pub(super) fn lose(&mut self) {
        self.lost = true;
    }

    /// Whose turn it is. `gone`: whether one that failed has let go of its device.
    pub(super) fn turn(&mut self, now: Mono, gone: bool) -> Turn {
        if self.letting_go {
            if gone {
                self.letting_go = false;
            } else if self.failed.is_some_and(|since| now.since(since) >= LETTING_GO) {
                self.lost = true;
            } else {
                return Turn::Nobody;
            }
        }
        if self.lost { Turn::Software } else { Turn::Hardware }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARDWARE: Turn = Turn::Hardware;
    const NOBODY: Turn = Turn::Nobody;
    const SOFTWARE: Turn = Turn::Software;

    enum Step {
        Fails,
        CannotBeSetUp,
        /// Asked whether the device is free, the answer expected.
        Asked(bool, Turn),
    }
    use Step::{Asked, CannotBeSetUp, Fails};

    fn play(steps: &[(u64, Step)]) {
        let mut trust = Trust::default();
        for (i, (millis, step)) in steps.iter().enumerate() {
            let now = Mono(1_000_000_000 + millis * 1_000_000);
            match step {
                Fails => trust.failed(now),
                CannotBeSetUp => trust.lose(),
                Asked(gone, expected) => assert_eq!(trust.turn(now, *gone), *expected, "step {i} at {millis} ms"),
            }
        }
    }

    #[test]
    fn one_that_works_goes_on() {
        play(&[(0, Asked(true, HARDWARE)), (1_000_000, Asked(true, HARDWARE))]);
    }

    #[test]
    fn one_that_fails_is_built_anew_as_soon_as_its_device_is_free() {
        play(&[
            (0, Fails),
            (0, Asked(false, NOBODY)),
            (900, Asked(false, NOBODY)),
            (950, Asked(true, HARDWARE)),
            (2_000, Asked(true, HARDWARE)),
        ]);
    }

    #[test]
    fn one_that_does_not_let_go_is_replaced_and_stays_so() {
        play(&[
            (0, Fails),
            (999, Asked(false, NOBODY)),
            (1_000, Asked(false, SOFTWARE)),
            (9_000, Asked(true, SOFTWARE)),
        ]);
    }

    #[test]
    fn one_that_fails_again_is_replaced_at_once() {
        play(&[(0, Fails), (10, Asked(true, HARDWARE)), (599_000, Fails), (599_000, Asked(false, SOFTWARE))]);
    }

    #[test]
    fn a_failure_long_ago_is_forgiven() {
        play(&[
            (0, Fails),
            (10, Asked(true, HARDWARE)),
            (600_000, Fails),
            (600_010, Asked(true, HARDWARE)),
            (700_000, Fails),
            (700_010, Asked(true, SOFTWARE)),
        ]);
    }

    #[test]
    fn one_that_cannot_be_set_up_is_not_tried_again() {
        play(&[(0, CannotBeSetUp), (10, Asked(true, SOFTWARE))]);
    }

    #[test]
    fn pictures_are_back_within_three_seconds() {
        assert!(WEDGED + LETTING_GO < Duration::from_secs(3));
    }
}
