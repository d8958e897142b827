//! Decides when a frame must be a keyframe. Pure.

use std::time::Duration;

use crate::clock::Mono;

/// The least time between a keyframe and the next one that is made for a repair.
const REPAIR_PAUSE: Duration = Duration::from_secs(1);

/// Merges all reasons for a keyframe into one answer per frame: the first frame, a viewer that joined, a frame that was
/// lost, and the longest interval.
#[derive(Debug)]
pub(crate) struct KeyframePolicy {
    interval: Duration,
    last: Option<Mono>,
    repair: bool,
}

impl KeyframePolicy {
    /// `interval` is the longest time between two keyframes.
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, last: None, repair: false }
    }

    /// Whether the next frame must be a keyframe; `true` counts as done. `joined` and `repair` are the requests since
    /// the last call. A repair that comes too early is kept.
    pub(crate) fn due(&mut self, joined: bool, repair: bool, now: Mono) -> bool {
        self.repair |= repair;
        let Some(last) = self.last else {
            self.seen(now);
            return true;
        };
        let age = now.since(last);
        let due = joined || (self.repair && age >= REPAIR_PAUSE) || age >= self.interval;
        if due {
            self.seen(now);
        }
        due
    }

    /// A keyframe was sent, requested or not. It answers all requests so far.
    pub(crate) fn seen(&mut self, now: Mono) {
        self.last = Some(now);
        self.repair = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOIN: (bool, bool) = (true, false);
    const REPAIR: (bool, bool) = (false, true);
    const NOTHING: (bool, bool) = (false, false);

    fn at(millis: u64) -> Mono {
        Mono(1_000_000_000 + millis * 1_000_000)
    }

    /// Plays (milliseconds, requests, expected answer) with an interval of 10 s.
    fn play(steps: &[(u64, (bool, bool), bool)]) {
        let mut keys = KeyframePolicy::new(Duration::from_secs(10));
        for (i, &(ms, (joined, repair), expected)) in steps.iter().enumerate() {
            assert_eq!(keys.due(joined, repair, at(ms)), expected, "step {i} at {ms} ms");
        }
    }

    #[test]
    fn the_first_picture_and_then_one_each_interval() {
        play(&[(0, NOTHING, true), (33, NOTHING, false), (9_999, NOTHING, false), (10_000, NOTHING, true)]);
    }

    #[test]
    fn a_join_never_waits() {
        play(&[(0, NOTHING, true), (33, JOIN, true), (66, JOIN, true), (100, NOTHING, false)]);
    }

    #[test]
    fn repairs_are_merged_and_come_once_a_second() {
        play(&[
            (0, NOTHING, true),
            (33, REPAIR, false),
            (66, REPAIR, false),
            (999, NOTHING, false),
            (1_000, NOTHING, true),
            (1_033, NOTHING, false),
            (1_100, REPAIR, false),
            (2_000, NOTHING, true),
        ]);
    }

    #[test]
    fn a_join_answers_the_repair_that_waited() {
        play(&[(0, NOTHING, true), (300, REPAIR, false), (400, JOIN, true), (1_500, NOTHING, false)]);
    }

    #[test]
    fn an_unasked_key_frame_answers_everything() {
        let mut keys = KeyframePolicy::new(Duration::from_secs(10));
        assert!(keys.due(false, false, at(0)));
        assert!(!keys.due(false, true, at(500)));
        keys.seen(at(600));
        assert!(!keys.due(false, false, at(1_700)), "the wish was answered at 600 ms");
        assert!(keys.due(false, false, at(10_600)), "the interval counts from it");
    }
}
