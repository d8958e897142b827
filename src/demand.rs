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
    /// The privacy switch was set or lifted. While it is on, the device stays closed.
    Stopped(bool),
    /// Time passed.
    Tick,
}

/// Decides when one device is open.
#[derive(Debug)]
pub struct Demand {
    linger: Duration,
    state: DeviceState,
    wanted: usize,
    /// Whether the privacy switch is on.
    stopped: bool,
    failures: u32,
    /// Since when frames come.
    works: Option<Mono>,
    /// Since when the device is missing.
    absent: Option<Mono>,
}

impl Demand {
    /// A closed device that stays open for `linger` after the last viewer.
    pub fn new(linger: Duration) -> Self {
        Self { linger, state: DeviceState::Off, wanted: 0, stopped: false, failures: 0, works: None, absent: None }
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
            DemandEvent::Stopped(stopped) => self.stopped(stopped),
            DemandEvent::Tick => self.tick(now),
        }
    }

    fn wanted(&mut self, n: usize, now: Mono) -> Option<Action> {
        self.wanted = n;
        match (self.state, n) {
            (DeviceState::Off, 1..) if !self.stopped => self.start(),
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

    fn stopped(&mut self, stopped: bool) -> Option<Action> {
        self.stopped = stopped;
        match (self.state, stopped) {
            (DeviceState::Starting | DeviceState::On | DeviceState::Lingering(_), true) => {
                self.state = DeviceState::Stopping;
                Some(Action::Stop)
            }
            (DeviceState::Waiting(_), true) => {
                self.state = DeviceState::Off;
                None
            }
            (DeviceState::Off, false) if self.wanted > 0 => self.start(),
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
        // One that vanishes soon after its first frame may do so because it was started: it lacks power.
        let failed = !absent || self.works.is_some_and(|since| now.since(since) < WORKED);
        self.settle(now);
        if absent {
            self.absent.get_or_insert(now);
        } else if self.absent.take().is_some_and(|since| now.since(since) >= UNPLUGGED) {
            self.failures = 0;
        }
        match self.state == DeviceState::Stopping {
            _ if self.stopped || self.wanted == 0 => {
                self.state = DeviceState::Off;
                None
            }
            true => self.start(),
            false => {
                let pause = if failed {
                    self.failures = self.failures.saturating_add(1);
                    Duration::from_secs(1 << (self.failures - 1).min(5)).min(FAILED_PAUSE_MAX)
                } else {
                    ABSENT_PAUSE
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
mod tests;
