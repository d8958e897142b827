//! The timing of frames: dropping frames of a source that is too fast, and due times without drift. Pure.

use std::time::Duration;

use crate::clock::Mono;

/// Frames per second as a fraction, so that 30000/1001 does not drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Rate {
    /// The number of frames.
    pub frames: u32,
    /// The seconds in which they come.
    pub seconds: u32,
}

impl Rate {
    /// A whole number of frames per second.
    pub fn whole(fps: u32) -> Self {
        Self { frames: fps.max(1), seconds: 1 }
    }

    /// The fraction, if it is between 1/60 and 1000 frames per second. Other values are faults of a file or driver.
    pub fn checked(frames: u32, seconds: u32) -> Option<Self> {
        let fps = f64::from(frames) / f64::from(seconds);
        (frames > 0 && seconds > 0 && (1.0 / 60.0..=1000.0).contains(&fps)).then_some(Self { frames, seconds })
    }

    /// Frames per second.
    pub fn fps(self) -> f64 {
        f64::from(self.frames) / f64::from(self.seconds)
    }

    /// How long `n` frames take.
    pub(crate) fn time_of(self, n: u64) -> Duration {
        let nanos = u128::from(n) * u128::from(self.seconds) * 1_000_000_000 / u128::from(self.frames);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.frames.checked_rem(self.seconds) {
            Some(0) => write!(f, "{}", self.frames / self.seconds),
            _ => write!(f, "{:.2}", self.fps()),
        }
    }
}

/// Drops frames of a source that is faster than configured, evenly.
#[derive(Debug)]
pub(crate) struct FrameDropper {
    step: Option<Duration>,
    next: Option<Mono>,
}

impl FrameDropper {
    /// No frames are dropped if the source is at most a tenth too fast. A dropped frame now and then is visible; 31
    /// frames per second instead of 30 are not.
    pub(crate) fn new(source: Option<Rate>, wanted: u32) -> Self {
        let wanted = Rate::whole(wanted);
        let drops = source.is_none_or(|source| source.fps() > wanted.fps() * 1.1);
        Self { step: drops.then(|| wanted.time_of(1)), next: None }
    }

    /// Whether the frame captured at `at` is used.
    pub(crate) fn takes(&mut self, at: Mono) -> bool {
        let Some(step) = self.step else { return true };
        match self.next {
            // Jitter of a quarter of a step is allowed.
            Some(next) if at + step / 4 < next => false,
            // Due times stay on their grid. After a gap, a new grid begins.
            Some(next) if at < next + step => {
                self.next = Some(next + step);
                true
            }
            _ => {
                self.next = Some(at + step);
                true
            }
        }
    }
}

/// Due times on a fixed grid: a late frame does not delay the next one.
#[derive(Debug)]
pub(crate) struct FrameClock {
    rate: Rate,
    start: Mono,
    count: u64,
}

impl FrameClock {
    /// The first frame is due at `start`.
    pub(crate) fn new(rate: Rate, start: Mono) -> Self {
        Self { rate, start, count: 0 }
    }

    /// When the next frame is due.
    pub(crate) fn due(&self) -> Mono {
        self.start + self.rate.time_of(self.count)
    }

    /// Goes on to the next frame. If that is overdue by more than a step, a new grid begins at `now`.
    pub(crate) fn advance(&mut self, now: Mono) {
        self.count += 1;
        if now > self.due() + self.rate.time_of(1) {
            *self = Self { count: 1, ..Self::new(self.rate, now) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `n` frames of a source with this rate are used, and the longest run of dropped ones.
    fn taken(source: f64, wished: u32, n: u32) -> (u32, u32) {
        let mut thinning = FrameDropper::new(None, wished);
        let (mut count, mut run, mut longest) = (0, 0, 0);
        for i in 0..n {
            let jitter = f64::from(i * 7919 % 5) * 0.4e6;
            if thinning.takes(Mono((f64::from(i) * 1e9 / source + jitter) as u64)) {
                count += 1;
                run = 0;
            } else {
                run += 1;
                longest = longest.max(run);
            }
        }
        (count, longest)
    }

    #[test]
    fn a_source_that_is_too_fast_is_thinned_evenly() {
        for (source, wished, expected, longest) in
            [(60.0, 30, 300, 1), (90.0, 30, 200, 2), (45.0, 30, 400, 1), (50.0, 30, 360, 1), (120.0, 10, 50, 11)]
        {
            let (count, run) = taken(source, wished, 600);
            assert!(count.abs_diff(expected) <= 2, "{source} to {wished}: {count} of 600 taken, expected {expected}");
            assert_eq!(run, longest, "{source} to {wished}: longest gap");
        }
    }

    #[test]
    fn a_source_that_is_slow_enough_is_left_alone() {
        assert_eq!(taken(30.0, 30, 600), (600, 0));
        assert_eq!(taken(12.5, 30, 600), (600, 0));
        let mut exact = FrameDropper::new(Rate::checked(31, 1), 30);
        assert!((0..1000).all(|i| exact.takes(Mono(i * 32_000_000))));
    }

    #[test]
    fn due_times_do_not_drift_and_a_long_pause_is_not_made_up_for() {
        let ntsc = Rate::checked(30_000, 1001).unwrap();
        let mut heartbeat = FrameClock::new(ntsc, Mono(0));
        for _ in 0..30_000 {
            heartbeat.advance(heartbeat.due() + Duration::from_millis(9));
        }
        assert_eq!(heartbeat.due(), Mono(1_001_000_000_000));
        let late = heartbeat.due() + Duration::from_secs(5);
        heartbeat.advance(late);
        assert_eq!(heartbeat.due(), late + ntsc.time_of(1));
    }

    #[test]
    fn rates_are_checked_and_shown() {
        assert_eq!(Rate::checked(0, 1), None);
        assert_eq!(Rate::checked(30, 0), None);
        assert_eq!(Rate::checked(u32::MAX, 1), None);
        assert_eq!(Rate::checked(25, 2).unwrap().to_string(), "12.50");
        assert_eq!(Rate::whole(30).to_string(), "30");
    }
}
