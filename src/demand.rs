//! When a device is on. Pure: time is an argument.
//!
//! ```text
//!         wanted                 first frame
//!   Off ─────────► Starting ─────────────────► On ◄─────────┐ wanted
//!    ▲                │ ended                   │ unwanted   │
//!    │   retry 1..30 s│ while wanted            ▼            │
//!    └── Stopping ◄───┴──────────────────── Lingering ───────┘
//! ```
//! `Stopping` waits for the thread to have ended: a device is never opened twice.

use std::time::Duration;

use crate::clock::Mono;

/// The longest pause between two tries of a device that is there and does not work.
const FAILED_PAUSE_MAX: Duration = Duration::from_secs(30);
/// The pause between two looks for a device that is not there: a look is one `open`, and a replugged camera
/// should be back before anybody wonders.
const ABSENT_PAUSE: Duration = Duration::from_secs(1);

/// Where a device is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Off, and nobody wants it.
    Off,
    /// The thread runs; no frame yet.
    Starting,
    /// Frames come.
    On,
    /// On for nobody, until then.
    Lingering(Mono),
    /// Told to stop; the thread has not ended yet.
    Stopping,
    /// It ended by itself; tried again then.
    Waiting(Mono),
}

/// What the owner has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start the thread.
    Start,
    /// Tell the thread to stop.
    Stop,
}

/// What happened to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The number of viewers that want it.
    Wanted(usize),
    /// A frame came, after a start.
    FirstFrame,
    /// The thread ended: as told, or because the device failed.
    Ended {
        /// Because it is not there.
        absent: bool,
    },
    /// Time passed.
    Tick,
}

/// Decides when one device is on.
#[derive(Debug)]
pub struct Demand {
    linger: Duration,
    state: State,
    wanted: usize,
    failures: u32,
}

impl Demand {
    /// A device that is off and stays on for `linger` after the last viewer.
    pub fn new(linger: Duration) -> Self {
        Self { linger, state: State::Off, wanted: 0, failures: 0 }
    }

    /// Where the device is in its life.
    pub fn state(&self) -> State {
        self.state
    }

    /// Changes how long the device stays on after the last viewer; holds from the next leaving on.
    pub fn set_linger(&mut self, linger: Duration) {
        self.linger = linger;
    }

    /// When `Tick` is due.
    pub fn deadline(&self) -> Option<Mono> {
        match self.state {
            State::Lingering(t) | State::Waiting(t) => Some(t),
            State::Off | State::Starting | State::On | State::Stopping => None,
        }
    }

    /// Takes in what happened; tells what to do.
    pub fn on(&mut self, event: Event, now: Mono) -> Option<Action> {
        match event {
            Event::Wanted(n) => self.wanted(n, now),
            Event::FirstFrame => {
                self.failures = 0;
                if self.state == State::Starting {
                    self.state = State::On;
                }
                None
            }
            Event::Ended { absent } => self.ended(absent, now),
            Event::Tick => self.tick(now),
        }
    }

    fn wanted(&mut self, n: usize, now: Mono) -> Option<Action> {
        self.wanted = n;
        match (self.state, n) {
            (State::Off, 1..) => self.start(),
            (State::Lingering(_), 1..) => {
                self.state = State::On;
                None
            }
            (State::On | State::Starting, 0) => {
                self.state = State::Lingering(now + self.linger);
                self.tick(now)
            }
            (State::Waiting(_), 0) => {
                self.state = State::Off;
                None
            }
            _ => None,
        }
    }

    fn ended(&mut self, absent: bool, now: Mono) -> Option<Action> {
        let asked = self.state == State::Stopping;
        match (asked, self.wanted) {
            (_, 0) => {
                self.state = State::Off;
                None
            }
            (true, _) => self.start(),
            (false, _) => {
                let pause = if absent {
                    ABSENT_PAUSE
                } else {
                    Duration::from_secs(1 << self.failures.min(5)).min(FAILED_PAUSE_MAX)
                };
                self.failures = self.failures.saturating_add(1);
                self.state = State::Waiting(now + pause);
                None
            }
        }
    }

    fn tick(&mut self, now: Mono) -> Option<Action> {
        match self.state {
            State::Lingering(until) if now >= until => {
                self.state = State::Stopping;
                Some(Action::Stop)
            }
            State::Waiting(until) if now >= until => self.start(),
            _ => None,
        }
    }

    fn start(&mut self) -> Option<Action> {
        self.state = State::Starting;
        Some(Action::Start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Action::{Start, Stop};
    use Event::{Ended, FirstFrame, Tick, Wanted};

    /// Plays steps of (seconds, event, expected action) and a last expected state.
    fn play(steps: &[(u64, Event, Option<Action>)], last: State) {
        let mut demand = Demand::new(Duration::from_secs(10));
        for (i, &(at, event, expected)) in steps.iter().enumerate() {
            assert_eq!(demand.on(event, seconds(at)), expected, "step {i}: {event:?} at {at} s");
        }
        assert_eq!(demand.state(), last);
    }

    fn seconds(n: u64) -> Mono {
        Mono(n * 1_000_000_000)
    }

    const GONE: Event = Ended { absent: true };
    const BROKEN: Event = Ended { absent: false };

    #[test]
    fn on_while_watched_and_a_little_longer() {
        play(
            &[
                (0, Wanted(1), Some(Start)),
                (1, FirstFrame, None),
                (5, Wanted(2), None),
                (6, Wanted(0), None),
                (15, Tick, None),
                (16, Tick, Some(Stop)),
                (17, BROKEN, None),
            ],
            State::Off,
        );
    }

    #[test]
    fn a_returning_viewer_cancels_the_closing() {
        play(
            &[
                (0, Wanted(1), Some(Start)),
                (1, FirstFrame, None),
                (2, Wanted(0), None),
                (9, Wanted(1), None),
                (20, Tick, None),
            ],
            State::On,
        );
    }

    #[test]
    fn a_viewer_who_comes_while_stopping_gets_a_fresh_start_after_the_end() {
        play(
            &[
                (0, Wanted(1), Some(Start)),
                (1, Wanted(0), None),
                (11, Tick, Some(Stop)),
                (11, Wanted(1), None),
                (12, BROKEN, Some(Start)),
            ],
            State::Starting,
        );
    }

    #[test]
    fn a_missing_device_is_looked_for_each_second() {
        play(
            &[
                (0, Wanted(1), Some(Start)),
                (0, GONE, None),
                (1, Tick, Some(Start)),
                (1, GONE, None),
                (2, Tick, Some(Start)),
            ],
            State::Starting,
        );
    }

    #[test]
    fn a_broken_device_is_tried_more_and_more_seldom_and_forgiven_after_a_frame() {
        play(
            &[
                (0, Wanted(1), Some(Start)),
                (0, BROKEN, None),
                (1, Tick, Some(Start)),
                (1, BROKEN, None),
                (2, Tick, None),
                (3, Tick, Some(Start)),
                (3, BROKEN, None),
                (7, Tick, Some(Start)),
                (7, FirstFrame, None),
                (8, BROKEN, None),
                (9, Tick, Some(Start)),
            ],
            State::Starting,
        );
    }

    #[test]
    fn nobody_waits_for_a_missing_device_after_the_last_viewer_left() {
        play(&[(0, Wanted(1), Some(Start)), (0, GONE, None), (0, Wanted(0), None), (5, Tick, None)], State::Off);
    }
}
