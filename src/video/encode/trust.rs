//! Decides whether a hardware encoder gets the next frame. Pure.

use std::time::Duration;

use crate::clock::Mono;

/// A frame that was not encoded within this time never will be.
pub(crate) const WEDGED: Duration = Duration::from_millis(1500);
/// How long closing may take before the device counts as hung.
const LETTING_GO: Duration = Duration::from_millis(1000);
/// After working this long, an earlier failure no longer counts.
const FORGIVEN: Duration = Duration::from_secs(600);

/// Which encoder encodes the next frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NextEncoder {
    /// The hardware encoder.
    Hardware,
    /// None yet: its device is still closing.
    Nobody,
    /// The software encoder, from now on.
    Software,
}

/// After the first failure, the hardware encoder is opened again. After a second one within ten minutes, software is
/// used until the camera is switched on the next time. Both happen within three seconds of the last frame.
#[derive(Debug, Default)]
pub(crate) struct EncoderTrust {
    failed: Option<Mono>,
    lost: bool,
}

impl EncoderTrust {
    /// The encoder failed while it worked.
    pub(crate) fn failed(&mut self, now: Mono) {
        self.lost |= self.failed.is_some_and(|last| now.since(last) < FORGIVEN);
        self.failed = Some(now);
    }

    /// The encoder could not be opened.
    pub(crate) fn lose(&mut self) {
        self.lost = true;
    }

    /// Chooses the next encoder. `closing`: since when an encoder is being closed, because it failed, has another
    /// size, or is from an earlier run.
    pub(crate) fn choose(&mut self, now: Mono, closing: Option<Mono>) -> NextEncoder {
        match closing {
            Some(since) if now.since(since) >= LETTING_GO => self.lost = true,
            Some(_) if !self.lost => return NextEncoder::Nobody,
            _ => {}
        }
        if self.lost { NextEncoder::Software } else { NextEncoder::Hardware }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARDWARE: NextEncoder = NextEncoder::Hardware;
    const NOBODY: NextEncoder = NextEncoder::Nobody;
    const SOFTWARE: NextEncoder = NextEncoder::Software;

    enum Step {
        Fails,
        CannotBeSetUp,
        /// One question: since when (in ms) an encoder is closing, and the expected answer.
        Asked(Option<u64>, NextEncoder),
    }
    use Step::{Asked, CannotBeSetUp, Fails};

    fn play(steps: &[(u64, Step)]) {
        let mut trust = EncoderTrust::default();
        for (i, (millis, step)) in steps.iter().enumerate() {
            let at = |millis: u64| Mono(1_000_000_000 + millis * 1_000_000);
            let now = at(*millis);
            match step {
                Fails => trust.failed(now),
                CannotBeSetUp => trust.lose(),
                Asked(closing, expected) => {
                    assert_eq!(trust.choose(now, closing.map(at)), *expected, "step {i} at {millis} ms");
                }
            }
        }
    }

    #[test]
    fn one_that_works_goes_on() {
        play(&[(0, Asked(None, HARDWARE)), (1_000_000, Asked(None, HARDWARE))]);
    }

    #[test]
    fn one_that_fails_is_built_anew_as_soon_as_its_device_is_free() {
        play(&[
            (0, Fails),
            (0, Asked(Some(0), NOBODY)),
            (900, Asked(Some(0), NOBODY)),
            (950, Asked(None, HARDWARE)),
            (2_000, Asked(None, HARDWARE)),
        ]);
    }

    #[test]
    fn one_that_does_not_let_go_is_replaced_and_stays_so() {
        play(&[
            (0, Fails),
            (999, Asked(Some(0), NOBODY)),
            (1_000, Asked(Some(0), SOFTWARE)),
            (9_000, Asked(None, SOFTWARE)),
        ]);
    }

    #[test]
    fn one_that_fails_again_is_replaced_at_once() {
        play(&[(0, Fails), (10, Asked(None, HARDWARE)), (599_000, Fails), (599_000, Asked(Some(599_000), SOFTWARE))]);
    }

    #[test]
    fn a_failure_long_ago_is_forgiven() {
        play(&[
            (0, Fails),
            (10, Asked(None, HARDWARE)),
            (600_000, Fails),
            (600_010, Asked(None, HARDWARE)),
            (700_000, Fails),
            (700_010, Asked(None, SOFTWARE)),
        ]);
    }

    #[test]
    fn one_that_is_closed_for_another_size_is_waited_for_and_is_no_failure() {
        play(&[
            (0, Asked(None, HARDWARE)),
            (5_000, Asked(Some(5_000), NOBODY)),
            (5_300, Asked(None, HARDWARE)),
            (6_000, Fails),
            (6_001, Asked(None, HARDWARE)),
        ]);
        // It hangs since the run before, so nobody waits for it again.
        play(&[(60_000, Asked(Some(0), SOFTWARE)), (60_100, Asked(None, SOFTWARE))]);
    }

    #[test]
    fn one_that_cannot_be_set_up_is_not_tried_again() {
        play(&[(0, CannotBeSetUp), (10, Asked(None, SOFTWARE))]);
    }

    #[test]
    fn pictures_are_back_within_three_seconds() {
        assert!(WEDGED + LETTING_GO < Duration::from_secs(3));
    }
}
