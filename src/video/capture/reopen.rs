//! Decides when a camera that encodes itself is opened again: a viewer waits for a keyframe that does not come, and
//! such a camera begins with one. Pure: time is an argument.

use std::time::Duration;

use crate::clock::Mono;

/// How long a viewer that joined waits: the shortest and the longest time. Between them it is 1.5 times the camera's
/// keyframe interval.
const JOIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(5));
/// How long a viewer waits whose picture is broken.
const REPAIR: Duration = Duration::from_secs(5);
/// The shortest time between two openings. It doubles each time, up to sixteen times.
const PAUSE: Duration = Duration::from_secs(5);
/// After this long without an opening, the pause is short again.
const FORGIVEN: Duration = Duration::from_secs(120);

/// Follows the keyframe requests and the keyframes of one camera.
#[derive(Debug)]
pub(crate) struct Reopen {
    opened: Mono,
    /// How often it was opened again in a row.
    times: u32,
    /// Since when viewers wait for a keyframe: one that joined, and one whose picture is broken.
    joined: Option<Mono>,
    broken: Option<Mono>,
    last: Option<Mono>,
    interval: Option<Duration>,
}

impl Reopen {
    /// For a camera that was just opened.
    pub(crate) fn new(now: Mono) -> Self {
        Self { opened: now, times: 0, joined: None, broken: None, last: None, interval: None }
    }

    /// The state after the camera was opened again.
    pub(crate) fn opened_again(&self, now: Mono) -> Self {
        let times = if now.since(self.opened) < FORGIVEN { self.times + 1 } else { 1 };
        Self { times, ..Self::new(now) }
    }

    /// Adds the viewers' requests.
    pub(crate) fn request(&mut self, joined: bool, broken: bool, now: Mono) {
        if joined {
            self.joined.get_or_insert(now);
        }
        if broken {
            self.broken.get_or_insert(now);
        }
    }

    /// A keyframe came, so no viewer waits any more.
    pub(crate) fn key(&mut self, now: Mono) {
        self.interval = self.last.map(|last| now.since(last));
        (self.last, self.joined, self.broken) = (Some(now), None, None);
    }

    /// Whether the camera must be opened again now. Before its first keyframe, that would not help.
    pub(crate) fn is_due(&self, now: Mono) -> bool {
        let join = self.interval.map_or(JOIN.0, |interval| (interval * 3 / 2).clamp(JOIN.0, JOIN.1));
        let over = |since: Option<Mono>, wait: Duration| since.is_some_and(|since| now.since(since) >= wait);
        let pause = PAUSE * (1 << self.times.min(4));
        let waited = over(self.joined, join) || over(self.broken, REPAIR);
        self.last.is_some() && waited && now.since(self.opened) >= pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Mono {
        Mono(1_000_000_000 + millis * 1_000_000)
    }

    #[derive(Clone, Copy)]
    enum Step {
        Key,
        Join,
        Broken,
        Reopening,
        Due(bool),
    }
    use Step::{Broken, Due, Join, Key, Reopening};

    fn play(steps: &[(u64, Step)]) {
        let mut reopen = Reopen::new(at(0));
        for (i, &(ms, step)) in steps.iter().enumerate() {
            match step {
                Key => reopen.key(at(ms)),
                Join => reopen.request(true, false, at(ms)),
                Broken => reopen.request(false, true, at(ms)),
                Reopening => reopen = reopen.opened_again(at(ms)),
                Due(expected) => assert_eq!(reopen.is_due(at(ms)), expected, "step {i} at {ms} ms"),
            }
        }
    }

    #[test]
    fn a_second_viewer_of_a_camera_with_one_keyframe_gets_another_one() {
        play(&[(100, Key), (20_000, Due(false)), (20_000, Join), (21_900, Due(false)), (22_000, Due(true))]);
        play(&[(100, Key), (1_000, Join), (4_900, Due(false)), (5_000, Due(true))]);
    }

    #[test]
    fn a_camera_with_keyframes_of_its_own_is_left_alone() {
        play(&[(100, Key), (2_100, Key), (2_200, Join), (4_100, Key), (9_000, Due(false)), (9_000, Join)]);
        play(&[
            (0, Key),
            (3_000, Key),
            (6_000, Key),
            (6_100, Join),
            (9_000, Due(false)),
            (9_100, Key),
            (20_000, Due(false)),
        ]);
        // Ten seconds are too long for a viewer who sees a black picture.
        play(&[(0, Key), (10_000, Key), (10_100, Join), (15_000, Due(false)), (15_100, Due(true))]);
    }

    #[test]
    fn a_broken_picture_is_mended_later_than_a_viewer_is_served() {
        play(&[(0, Key), (10_000, Broken), (14_900, Due(false)), (15_000, Due(true))]);
    }

    #[test]
    fn openings_come_more_and_more_seldom_and_that_is_forgiven() {
        play(&[
            (0, Key),
            (6_000, Join),
            (8_000, Due(true)),
            (8_000, Reopening),
            (8_100, Key),
            (9_000, Join),
            (17_900, Due(false)),
            (18_000, Due(true)),
            (18_000, Reopening),
            (18_100, Key),
            (19_000, Broken),
            (37_900, Due(false)),
            (38_000, Due(true)),
            (180_000, Reopening),
            (180_100, Key),
            (181_000, Join),
            (190_000, Due(true)),
        ]);
    }

    #[test]
    fn before_the_first_keyframe_nothing_is_gained_by_it() {
        play(&[(0, Join), (60_000, Due(false))]);
    }
}
