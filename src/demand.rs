//! When a device is open. Pure: time is an argument.
//!
//! ```text
//!         wanted                 first frame
//!   Off ─────────► Starting ─────────────────► On ◄─────────┐ wanted
//!    ▲                │ ended                   │ unwanted   │
//!    │   retry 1..30 s│ while wanted            ▼            │
//!    └── Stopping ◄───┴──────────────────── Lingering ───────┘
//! ```
//! `Stopping` waits until the thread has ended or was abandoned: a device is never opened twice.
//!
//! The pause before the next try grows with each failure in a row. The row ends when the device has worked for a
//! while, or was missing for so long that somebody must have plugged it in again. A missing device is not a failure.

use std::time::Duration;

use crate::clock::Mono;

/// The longest pause between two tries of a device that is there and does not work.
const FAILED_PAUSE_MAX: Duration = Duration::from_secs(30);
/// The pause between two tries of a missing device. A try is one `open`, and a camera that is plugged in should be
/// back before anybody wonders.
const ABSENT_PAUSE: Duration = Duration::from_secs(1);
/// A device that delivered for this long has worked.
const WORKED: Duration = Duration::from_secs(10);
/// A device that was missing for this long was unplugged. One that crashes and registers again is missing for less.
const UNPLUGGED: Duration = Duration::from_secs(3);

/// The state of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceState {
    /// Closed; nobody wants it.
    Off,
    /// The thread runs; no frame yet.
    Starting,
    /// Frames come.
    On,
    /// Open without viewers, until that time.
    Lingering(Mono),
    /// Asked to stop; the thread has not ended yet.
    Stopping,
    /// It ended by itself; tried again at that time.
    Waiting(Mono),
}

/// What the owner has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start the thread.
    Start,
    /// Ask the thread to stop.
    Stop,
}

/// What happened to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DemandEvent {
    /// The number of viewers that want it.
    Wanted(usize),
    /// A frame came, after a start or a stall.
    FirstFrame,
    /// No frame has come for a while.
    Stalled,
    /// An abandoned thread has ended: the device can be opened again.
    Freed,
    /// The thread ended, as requested or because the device failed.
    Ended {
        /// Whether the device is missing.
        absent: bool,
    },
    /// Time passed.
    Tick,
}

/// Decides when one device is open.
#[derive(Debug)]
pub struct Demand {
    linger: Duration,
    state: DeviceState,
    wanted: usize,
    failures: u32,
    /// Since when frames come.
    works: Option<Mono>,
    /// Since when the device is missing.
    absent: Option<Mono>,
}

impl Demand {
    /// A closed device that stays open for `linger` after the last viewer.
    pub fn new(linger: Duration) -> Self {
        Self { linger, state: DeviceState::Off, wanted: 0, failures: 0, works: None, absent: None }
    }

    /// The state of the device.
    pub fn state(&self) -> DeviceState {
        self.state
    }

    /// Changes how long the device stays open after the last viewer. It counts from the next time that all viewers
    /// leave.
    pub fn set_linger(&mut self, linger: Duration) {
        self.linger = linger;
    }

    /// When `Tick` is due.
    pub fn deadline(&self) -> Option<Mono> {
        match self.state {
            DeviceState::Lingering(t) | DeviceState::Waiting(t) => Some(t),
            DeviceState::Off | DeviceState::Starting | DeviceState::On | DeviceState::Stopping => None,
        }
    }

    /// Takes an event; returns what to do.
    pub fn on(&mut self, event: DemandEvent, now: Mono) -> Option<Action> {
        match event {
            DemandEvent::Wanted(n) => self.wanted(n, now),
            DemandEvent::FirstFrame => {
                self.works.get_or_insert(now);
                self.absent = None;
                if self.state == DeviceState::Starting {
                    self.state = DeviceState::On;
                }
                None
            }
            DemandEvent::Stalled => {
                self.settle(now);
                None
            }
            DemandEvent::Freed => match self.state {
                DeviceState::Waiting(_) => self.start(),
                _ => None,
            },
            DemandEvent::Ended { absent } => self.ended(absent, now),
            DemandEvent::Tick => self.tick(now),
        }
    }

    fn wanted(&mut self, n: usize, now: Mono) -> Option<Action> {
        self.wanted = n;
        match (self.state, n) {
            (DeviceState::Off, 1..) => self.start(),
            (DeviceState::Lingering(_), 1..) => {
                self.state = DeviceState::On;
                None
            }
            (DeviceState::On | DeviceState::Starting, 0) => {
                self.state = DeviceState::Lingering(now + self.linger);
                self.tick(now)
            }
            (DeviceState::Waiting(_), 0) => {
                self.state = DeviceState::Off;
                None
            }
            _ => None,
        }
    }

    /// Frames have stopped: forgives earlier failures if they came for long enough.
    fn settle(&mut self, now: Mono) {
        if self.works.take().is_some_and(|since| now.since(since) >= WORKED) {
            self.failures = 0;
        }
    }

    fn ended(&mut self, absent: bool, now: Mono) -> Option<Action> {
        self.settle(now);
        if absent {
            self.absent.get_or_insert(now);
        } else if self.absent.take().is_some_and(|since| now.since(since) >= UNPLUGGED) {
            self.failures = 0;
        }
        let asked = self.state == DeviceState::Stopping;
        match (asked, self.wanted) {
            (_, 0) => {
                self.state = DeviceState::Off;
                None
            }
            (true, _) => self.start(),
            (false, _) => {
                let pause = if absent {
                    ABSENT_PAUSE
                } else {
                    self.failures = self.failures.saturating_add(1);
                    Duration::from_secs(1 << (self.failures - 1).min(5)).min(FAILED_PAUSE_MAX)
                };
                self.state = DeviceState::Waiting(now + pause);
                None
            }
        }
    }

    fn tick(&mut self, now: Mono) -> Option<Action> {
        match self.state {
            DeviceState::Lingering(until) if now >= until => {
                self.state = DeviceState::Stopping;
                Some(Action::Stop)
            }
            DeviceState::Waiting(until) if now >= until => self.start(),
            _ => None,
        }
    }

    fn start(&mut self) -> Option<Action> {
        self.state = DeviceState::Starting;
        Some(Action::Start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Action::{Start, Stop};
    use DemandEvent::{Ended, FirstFrame, Freed, Stalled, Tick, Wanted};

    /// Plays steps of (seconds, event, expected action) and a last expected state.
    fn play(steps: &[(u64, DemandEvent, Option<Action>)], last: DeviceState) {
        let mut demand = Demand::new(Duration::from_secs(10));
        for (i, &(at, event, expected)) in steps.iter().enumerate() {
            assert_eq!(demand.on(event, seconds(at)), expected, "step {i}: {event:?} at {at} s");
        }
        assert_eq!(demand.state(), last);
    }

    fn seconds(n: u64) -> Mono {
        Mono(n * 1_000_000_000)
    }

    const GONE: DemandEvent = Ended { absent: true };
    const BROKEN: DemandEvent = Ended { absent: false };

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
            DeviceState::Off,
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
            DeviceState::On,
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
            DeviceState::Starting,
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
            DeviceState::Starting,
        );
    }

    #[test]
    fn a_broken_device_is_tried_more_and_more_seldom_until_it_has_worked() {
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
                (17, BROKEN, None),
                (18, Tick, Some(Start)),
            ],
            DeviceState::Starting,
        );
    }

    /// The times in five minutes at which a device that always fails is tried. Each try is a list of events with their
    /// times.
    fn tries(each: &[(u64, DemandEvent)]) -> Vec<u64> {
        let mut demand = Demand::new(Duration::ZERO);
        let (mut now, mut tries) = (0, Vec::new());
        let mut action = demand.on(Wanted(1), seconds(now));
        while now < 300 {
            assert_eq!(action, Some(Start));
            tries.push(now);
            for &(takes, event) in each {
                now += takes;
                assert_eq!(demand.on(event, seconds(now)), None, "{event:?} at {now} s");
            }
            let DeviceState::Waiting(until) = demand.state() else { panic!("{demand:?}") };
            now = until.0 / 1_000_000_000;
            action = demand.on(Tick, seconds(now));
        }
        tries
    }

    #[test]
    fn one_frame_is_no_success() {
        let fails = tries(&[(0, BROKEN)]);
        assert_eq!(fails[..8], [0, 1, 3, 7, 15, 31, 61, 91]);
        assert_eq!(tries(&[(0, FirstFrame), (0, BROKEN)]), fails, "one frame each time");
        // Ten seconds without a frame end the try, and do not count as work.
        let stalls = tries(&[(0, FirstFrame), (2, Stalled), (8, BROKEN)]);
        assert_eq!(stalls[..7], [0, 11, 23, 37, 55, 81, 121]);
        assert_eq!(tries(&[(0, FirstFrame), (10, BROKEN)])[..4], [0, 11, 22, 33], "this one works each time");
        let crashes = tries(&[(0, BROKEN)]).len();
        assert!(crashes < 16, "{crashes} tries in five minutes");
    }

    #[test]
    fn one_that_crashes_and_comes_back_by_itself_is_not_taken_for_one_that_was_plugged_in_anew() {
        let mut demand = Demand::new(Duration::ZERO);
        demand.on(Wanted(1), seconds(0));
        for (at, pause) in [(0, 1), (10, 2), (20, 4), (30, 8), (40, 16), (60, 30)] {
            demand.on(GONE, seconds(at));
            demand.on(Tick, seconds(at + 1));
            demand.on(BROKEN, seconds(at + 1));
            assert_eq!(demand.state(), DeviceState::Waiting(seconds(at + 1 + pause)));
            demand.on(Tick, seconds(at + 1 + pause));
        }
    }

    #[test]
    fn being_away_is_no_failure() {
        let mut demand = Demand::new(Duration::ZERO);
        demand.on(Wanted(1), seconds(0));
        for at in 0..60 {
            demand.on(GONE, seconds(at));
            assert_eq!(demand.on(Tick, seconds(at + 1)), Some(Start), "looked for at {at} s");
        }
        // The device is plugged in, and for a moment only root may open it.
        demand.on(BROKEN, seconds(60));
        assert_eq!(demand.on(Tick, seconds(61)), Some(Start));
    }

    #[test]
    fn one_that_is_unplugged_is_begun_with_anew() {
        let mut demand = Demand::new(Duration::ZERO);
        demand.on(Wanted(1), seconds(0));
        for at in [0, 100, 200, 300, 400, 500] {
            demand.on(BROKEN, seconds(at));
            demand.on(Tick, seconds(at + 99));
        }
        for at in 600..605 {
            demand.on(GONE, seconds(at));
            demand.on(Tick, seconds(at + 1));
        }
        demand.on(BROKEN, seconds(605));
        assert_eq!(demand.state(), DeviceState::Waiting(seconds(606)));
    }

    #[test]
    fn one_that_hung_is_started_as_soon_as_it_is_free() {
        play(
            &[
                (0, Wanted(1), Some(Start)),
                (0, FirstFrame, None),
                (1, Freed, None),
                (20, BROKEN, None),
                (20, Freed, Some(Start)),
                (20, Wanted(0), None),
                (30, Tick, Some(Stop)),
                (40, BROKEN, None),
                (41, Freed, None),
            ],
            DeviceState::Off,
        );
    }

    #[test]
    fn nobody_waits_for_a_missing_device_after_the_last_viewer_left() {
        play(&[(0, Wanted(1), Some(Start)), (0, GONE, None), (0, Wanted(0), None), (5, Tick, None)], DeviceState::Off);
    }
}
